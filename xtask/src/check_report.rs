//! `cargo xtask check-report`: tests the report page in a real browser. Clicks, sorting, filters, sliders
//! and the keyboard are exercised, any console message is a failure, and screenshots are left for
//! inspection.
//!
//! It needs a Chromium, unlike the gate, which tests the page's structure and figures only.

mod browser;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use browser::Browser;

/// Exercise a report page in headless Chromium
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The page that `strait report` wrote
    page: PathBuf,
    /// The browser; by default the first of chromium, google-chrome and chrome that is found
    #[arg(long)]
    chromium: Option<PathBuf>,
    /// Where the screenshots go
    #[arg(long, default_value = "target/report-screenshots")]
    screenshots: PathBuf,
}

/// Conditions that must hold, as scripts that return `true` or a description of what they found.
const CHECKS: &[(&str, &str)] = &[
    (
        "every chart is drawn",
        "(() => { const shown = [...document.querySelectorAll('.chart')].filter(c => !c.closest('section').hidden); return shown.length > 1 && shown.every(c => c.querySelector('svg .point')); })()",
    ),
    (
        "the answer fits one screen, its filters folded",
        "(() => { const end = element('first').getBoundingClientRect().bottom + scrollY; return !element('filter').open && document.querySelectorAll('#cards .card').length === 3 && end <= innerHeight ? true : `it ends at ${end} of ${innerHeight}`; })()",
    ),
    (
        "a card opens what it names",
        "(() => { const card = document.querySelector('#cards button'); card.click(); const cell = data.cells.find(c => c.key === chosen.picked); const good = card.textContent.includes(cell.label) && element(cell.key).open; element('reset').click(); return good; })()",
    ),
    (
        "only cells within the chosen loss are ranked",
        "(() => { if (element('plan').hidden) return true; const box = element('loss'); const listed = () => [...document.querySelectorAll('#time-list tbody a')].map(a => data.cells.find(c => '#' + c.key === a.getAttribute('href'))); const set = v => { box.value = v; box.dispatchEvent(new Event('input')); return listed(); }; const few = set('0.05'), all = set(''); set('0.1'); return few.every(c => c.baseline || c.delta <= 0.05) && all.some(c => c.delta > 0.05); })()",
    ),
    (
        "few cells have a line of errors",
        "document.querySelectorAll('#chart-links g[aria-label=line] path').length <= 8",
    ),
    (
        "one experiment at a time",
        "(() => { const select = element('group'); const good = [...select.options].every((o, at) => { select.value = o.value; select.dispatchEvent(new Event('change')); const cells = visibleCells(); return cells.length > 0 && cells.every(c => c.group === at) && document.querySelectorAll('#cells tbody tr:not([hidden])').length === cells.length; }); select.selectedIndex = 0; select.dispatchEvent(new Event('change')); return good; })()",
    ),
    (
        "a cell has one row and one point",
        "document.querySelectorAll('#cells tbody tr:not([hidden])').length === visibleCells().length && document.querySelectorAll('#chart-front .point').length > 1",
    ),
    (
        "labels cover no other label",
        "(() => { const boxes = [...document.querySelectorAll('#chart-front svg > g:last-child text')].map(t => t.getBoundingClientRect()); return boxes.every((a, i) => boxes.slice(i + 1).every(b => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 3 || b.bottom <= a.top + 3)); })()",
    ),
    (
        "sorting by perplexity",
        "(() => { const b = document.querySelector('[data-sort=ppl]'); b.click(); const read = () => tableRows().map(r => keyOf(r, 4)).filter(v => v !== null); const up = read(); b.click(); const down = read(); return up.every((v, i) => i === 0 || up[i - 1] <= v) && down.every((v, i) => i === 0 || down[i - 1] >= v) && b.closest('th').getAttribute('aria-sort') === 'descending'; })()",
    ),
    (
        "sorting by name",
        "(() => { document.querySelector('[data-sort=label]').click(); const names = tableRows().map(r => keyOf(r, 0)); return names.every((v, i) => i === 0 || compareKeys(names[i - 1], v, 1) <= 0); })()",
    ),
    (
        "a family alone",
        "(() => { const chip = [...document.querySelectorAll('.chip')].find(c => c.dataset.family !== 'baseline'); const name = chip.dataset.family; chip.click(); const shown = visibleCells(); const rows = tableRows().filter(r => !r.hidden); const good = shown.length > 0 && shown.every(c => c.family === name) && rows.length === shown.length && document.querySelector(`.chip[data-family=\"${name}\"]`).getAttribute('aria-pressed') === 'true'; element('reset').click(); return good && visibleCells().length > shown.length; })()",
    ),
    (
        "the search box",
        "(() => { const box = element('search'); box.value = 'g64'; box.dispatchEvent(new Event('input')); const good = visibleCells().every(c => c.label.includes('g64')); element('reset').click(); return good; })()",
    ),
    (
        "every choice of every axis",
        "(() => { for (const id of ['front-x','front-y','links-y','speed-x']) for (const o of element(id).options) { if (o.disabled) continue; element(id).value = o.value; element(id).dispatchEvent(new Event('change')); if (!document.querySelector(id.startsWith('links') ? '#chart-links svg' : id.startsWith('speed') ? '#chart-speed svg' : '#chart-front svg')) return `${id} ${o.value}`; } for (const id of ['front-x','front-y','links-y','speed-x']) { element(id).selectedIndex = 0; element(id).dispatchEvent(new Event('change')); } return true; })()",
    ),
    (
        "the sliders",
        "(() => { const read = () => document.querySelector('#time-list td').textContent; const before = read(); element('mbit').value = 0; element('mbit').dispatchEvent(new Event('input')); const slow = read(); element('rtt').value = 100; element('rtt').dispatchEvent(new Event('input')); return before !== slow && slow !== read() && element('mbit-out').textContent === '1.00 Mbit/s' && element('rtt-out').textContent === '100 ms'; })()",
    ),
    (
        "a link opens details",
        "(() => { const link = document.querySelector('#cells tbody tr:nth-child(3) a'); link.click(); const id = link.getAttribute('href').slice(1); pick(id, true); return document.getElementById(id).open && !!document.querySelector('tr.picked'); })()",
    ),
    (
        "the theme",
        "(() => { const before = getComputedStyle(document.body).backgroundColor; element('theme').click(); const after = getComputedStyle(document.body).backgroundColor; element('theme').click(); return before !== after; })()",
    ),
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let page = args.page.canonicalize().with_context(|| args.page.display().to_string())?;
    fs::create_dir_all(&args.screenshots)?;
    let mut browser = {
        let named = args.chromium.clone().or_else(|| std::env::var_os("CHROMIUM").map(Into::into));
        Browser::start(named.as_deref())?
    };
    browser.open(&format!("file://{}", page.display()), 1280, 900)?;
    let mut failed = 0;
    let mut judge = |name: &str, found: &str| {
        let good = found == "true";
        eprintln!(
            "{} {name}{}",
            if good { "ok    " } else { "FAILED" },
            if good { "" } else { found }
        );
        failed += usize::from(!good);
    };
    for (name, script) in CHECKS {
        judge(name, &browser.evaluate(script)?.to_string());
    }
    mouse(&mut browser, &mut judge)?;
    keyboard(&mut browser, &mut judge)?;
    for (name, width, media) in [
        ("light", 1280, "light"),
        ("dark", 1280, "dark"),
        ("narrow", 480, "light"),
        ("print", 794, "print"),
    ] {
        browser.reload(width, 900, media)?;
        // A browser that reloads a page restores its scroll position.
        browser.evaluate(
            "history.scrollRestoration = 'manual'; scrollTo({ top: 0, behavior: 'instant' })",
        )?;
        settle(&mut browser)?;
        let path = args.screenshots.join(format!("{name}.png"));
        fs::write(&path, browser.screenshot()?)?;
        eprintln!("{}", path.display());
        let wide =
            browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")?;
        judge(&format!("{name}: nothing wider than the window"), &wide.to_string());
    }
    let complaints = browser.complaints();
    judge("a silent console", if complaints.is_empty() { "true" } else { &complaints });
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(ExitCode::SUCCESS)
}

type Judge<'a> = &'a mut dyn FnMut(&str, &str);

/// Sends real mouse events to a point that no other covers: hovering shows the tip, a click opens the cell.
fn mouse(browser: &mut Browser, judge: Judge) -> Result<()> {
    settle(browser)?;
    browser.evaluate("element('reset').click(); scrollTo({ top: 0, behavior: 'instant' })")?;
    settle(browser)?;
    let script = "(() => { const middles = [...document.querySelectorAll('#chart-front .point')].map(p => { const r = p.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2, p]; }); return middles.find(([x, y, p]) => document.elementFromPoint(x, y) === p || p.contains(document.elementFromPoint(x, y))).slice(0, 2); })()";
    let at = browser.evaluate(script)?;
    let (x, y) = (at[0].as_f64().unwrap_or(0.0), at[1].as_f64().unwrap_or(0.0));
    browser.mouse("mouseMoved", x, y)?;
    let tip = "!element('tip').hidden && element('tip').textContent.includes('bits/value')";
    judge("hovering shows the figures", &browser.evaluate(tip)?.to_string());
    browser.mouse("mousePressed", x, y)?;
    browser.mouse("mouseReleased", x, y)?;
    let picked = "chosen.picked !== null && document.getElementById(chosen.picked).open";
    judge("a click on a point opens its details", &browser.evaluate(picked)?.to_string());
    Ok(())
}

/// Waits until charts are drawn and scrolling has ended.
fn settle(browser: &mut Browser) -> Result<()> {
    let mut before = None;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(300));
        let place = Some(browser.evaluate("scrollY + ' ' + document.body.scrollHeight")?);
        if place == before {
            break;
        }
        before = place;
    }
    Ok(())
}

/// Points can be reached with the tab and arrow keys.
fn keyboard(browser: &mut Browser, judge: Judge) -> Result<()> {
    let focus = "(() => { const p = document.querySelector('#chart-front .point[tabindex=\"0\"]'); p.focus(); return p.dataset.cell; })()";
    let before = browser.evaluate(focus)?.to_string();
    browser.key("ArrowRight")?;
    let after = browser.evaluate("document.activeElement.dataset.cell")?.to_string();
    judge(
        "arrows go from point to point",
        if before == after { "the focus stayed" } else { "true" },
    );
    browser.key("Enter")?;
    let opened = format!("chosen.picked === {after} && document.getElementById({after}).open");
    judge("Enter opens the details", &browser.evaluate(&opened)?.to_string());
    Ok(())
}
