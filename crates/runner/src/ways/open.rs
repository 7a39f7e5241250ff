//! Puts every cell on the way of its kind, with its codecs and presses open.

use super::BoxedWay;
use super::caches::{CacheCell, Caches, Model};
use super::links::{LinkCell, LinkSetting, Links};
use super::reruns::{Again, Rerun, Reruns};
use crate::book::account::Account;
use crate::plan::{PlannedCell, Work};

/// Opens the cells that `accounts` belong to, except those that have failed; the first is the
/// baseline. A cell that cannot be opened fails alone: its account says why.
pub(crate) fn open<'a>(
    planned: &'a [PlannedCell],
    setting: LinkSetting<'a>,
    model: Model<'a>,
    accounts: &mut [Account],
) -> Vec<BoxedWay<'a>> {
    let baseline = LinkCell::plain(0, setting.links);
    let mut links = Links { setting, baseline, cells: Vec::new() };
    let mut reruns = Reruns { cells: Vec::new() };
    let mut caches = Caches { model, cells: Vec::new() };
    for account in accounts.iter_mut().filter(|account| account.failed.is_none()) {
        let index = account.index;
        let opened = match &planned[index].work {
            // Every run has the baseline, so it has been added already.
            Work::Baseline => Ok(()),
            Work::Links(codec) => {
                LinkCell::open(index, codec, setting.links).map(|cell| links.cells.push(cell))
            }
            Work::Cache(plan) => CacheCell::open(index, plan).map(|cell| caches.cells.push(cell)),
            Work::Noise { seed } => {
                reruns.cells.push(Rerun { index, what: Again::Noise { seed: *seed } });
                Ok(())
            }
            Work::Model(other) => {
                // The stages of the reference come before those of the others.
                reruns.cells.push(Rerun { index, what: Again::Model(other + 1) });
                Ok(())
            }
        };
        account.failed = opened.err();
    }
    vec![Box::new(links), Box::new(reruns), Box::new(caches)]
}
