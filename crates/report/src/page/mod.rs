//! `report.html`: one file that opens without a network. Charts, a table that sorts and filters, and for
//! every cell where it came from and the experiment file that measures it again.
//!
//! The table is HTML before any script runs, so the page can be read, searched and printed without one. Details,
//! figures and the libraries of `assets/` are packed texts, which the scripts of this folder unpack: they draw the
//! charts, and write the details of a cell where it is picked. Its content policy forbids every connection; only the live page of
//! `strait serve` may ask its own server.

mod assets;
mod data;
mod details;
mod pack;
mod params;
mod serve;
mod table;

pub use self::serve::serve;
use crate::Collection;
use crate::picture::palette::{self, COLORS, COLORS_ON_DARK};
use crate::text::safe::{is_obeyed, plain, prose};
use crate::{Report, ReportError};
use data::{Cell, Family, Group, PageData};
use table::Columns;

/// A page before it is written.
#[derive(Debug)]
pub struct Page {
    title: String,
    data: PageData,
    columns: Columns,
    rows: String,
    /// Of each cell, in order.
    details: Vec<String>,
    notes: Vec<String>,
}

impl Page {
    /// Arranges the cells of a collection: one group for every model and protocol.
    ///
    /// # Errors
    /// If there is no record at all.
    pub fn new(collection: &Collection) -> Result<Self, ReportError> {
        let groups = collection.groups()?;
        let families = palette::families(groups.iter().flat_map(|group| &group.report.rows));
        let families = families.into_iter().map(Family::new).collect();
        let mut data = PageData { groups: Vec::new(), families, cells: Vec::new() };
        let (mut rows, mut details) = (String::new(), Vec::new());
        for (index, group) in groups.iter().enumerate() {
            let report = &group.report;
            data.groups.push(Group {
                title: plain(&report.title).into_owned(),
                subtitle: plain(&report.subtitle).into_owned(),
                fingerprint: report.fingerprint.clone(),
                ppl: report.baseline_ppl.map(|(ppl, _)| ppl).filter(|ppl| ppl.is_finite()),
                unit: report.unit().key(),
            });
            for (row, fronts) in report.rows.iter().zip(data::fronts(report)) {
                let at = data.cells.len();
                let record = group.record_of(row);
                rows.push_str(&table::row(at, index, row));
                let reference = record.and_then(|record| group.reference_of(record));
                details.push(details::of(at, index, row, record, reference));
                data.cells.push(Cell::new(at, index, row, record, report.models, fronts));
            }
        }
        let columns = Columns::of(groups.iter().map(|group| &group.report));
        let notes = collection.notes.iter().map(|note| prose(note)).collect();
        let title = title(groups.iter().map(|group| &group.report));
        Ok(Self { title, data, columns, rows, details, notes })
    }

    /// The whole page: one file, nothing to load.
    #[must_use]
    pub fn html(&self) -> String {
        self.render(None)
    }

    /// The page that asks `source` on its own server for new figures every `every_s` seconds.
    #[must_use]
    pub fn live_html(&self, source: &str, every_s: u32) -> String {
        self.render(Some((source, every_s)))
    }

    /// What the live page asks for: figures, rows and details, as JSON.
    #[must_use]
    pub fn live_json(&self) -> String {
        serde_json::json!({
            "title": self.title,
            "data": self.data,
            "rows": self.rows,
            "details": self.details,
            "notes": self.notes,
        })
        .to_string()
    }

    fn render(&self, live: Option<(&str, u32)>) -> String {
        let connect = if live.is_some() { "; connect-src 'self'" } else { "" };
        let live = live.map_or_else(String::new, |(source, every_s)| {
            format!(" data-live=\"{}\" data-every=\"{every_s}\"", escape(source))
        });
        let title = escape(&self.title);
        let script = |code: &str| format!("<script>\n{code}</script>\n");
        let mut out = String::with_capacity(800 << 10);
        out.push_str(&format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:{connect}\">\n\
             <meta name=\"generator\" content=\"strait {}\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{}{}</style>\n\
             </head>\n<body{live}>\n",
            env!("CARGO_PKG_VERSION"),
            colors(),
            assets::STYLE,
        ));
        let notes: String = self
            .notes
            .iter()
            .map(|note| format!("<p class=\"note\">{}</p>\n", escape(note)))
            .collect();
        out.push_str(&filled(
            include_str!("page.html"),
            &[
                ("title", &title),
                ("notes", &notes),
                ("version", env!("CARGO_PKG_VERSION")),
                ("licences", &escape(&licences())),
                ("columns", &self.columns.classes()),
                ("headings", &table::headings()),
                ("rows", &self.rows),
            ],
        ));
        let data = serde_json::to_string(&self.data).unwrap_or_default();
        let details = serde_json::to_string(&self.details).unwrap_or_default();
        for (id, text) in [
            ("d3", assets::D3),
            ("plot", assets::PLOT),
            ("data", &data),
            ("cell-details", &details),
        ] {
            let packed = pack::pack(text);
            out.push_str(&format!(
                "<script type=\"text/plain\" id=\"packed-{id}\">{packed}</script>\n"
            ));
        }
        let own = [assets::MODEL, assets::CHARTS, assets::TABLE, assets::MAIN].concat();
        out.push_str(&script(&format!("\"use strict\";\n{own}")));
        out.push_str("</body>\n</html>\n");
        out
    }
}

/// A template with what its `{names}` stand for. What was filled in is not looked at again: a label may say `{rows}`.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let named = values
            .iter()
            .find_map(|(name, value)| Some((value, after.strip_prefix(name)?.strip_prefix('}')?)));
        rest = match named {
            Some((value, behind)) => {
                out.push_str(value);
                behind
            }
            None => {
                out.push('{');
                after
            }
        };
    }
    out + rest
}

fn licences() -> String {
    format!("d3\n\n{}\nObservable Plot\n\n{}", assets::D3_LICENCE, assets::PLOT_LICENCE)
}

fn title<'a>(reports: impl Iterator<Item = &'a Report>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for report in reports {
        for name in report.title.split(", ") {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

/// The families' colours as properties of the style sheet, so that theme and printer choose.
fn colors() -> String {
    let list = |colors: [&str; 12]| -> String {
        colors.iter().enumerate().map(|(at, color)| format!("--f{at}:{color};")).collect()
    };
    let (light, dark) = (list(COLORS), list(COLORS_ON_DARK));
    format!(
        ":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{\
         :root:not([data-theme=light]){{{dark}}}}}\n\
         @media screen{{:root[data-theme=dark]{{{dark}}}}}\n"
    )
}

/// Text between tags or in a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if is_obeyed(c) => out.extend(c.escape_unicode()),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
