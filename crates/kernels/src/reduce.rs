//! Reductions over the units of a cube, in an order that depends only on their number.

use cubecl::prelude::*;

/// How two values are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fold {
    /// By their sum.
    Sum,
    /// By the larger one.
    Largest,
}

/// Reduces every unit's `value` to one. `scratch` has a place for each of the cube's `units`, a power
/// of two.
#[cube]
pub(crate) fn fold(
    value: f32,
    scratch: &mut SharedMemory<f32>,
    #[comptime] how: Fold,
    #[comptime] units: u32,
) -> f32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    sync_cube();
    let mut active = (units / 2).runtime();
    while active > 0 {
        if UNIT_POS < active {
            let other = scratch[unit + active as usize];
            match how {
                Fold::Sum => scratch[unit] += other,
                Fold::Largest => {
                    if other > scratch[unit] {
                        scratch[unit] = other;
                    }
                }
            }
        }
        sync_cube();
        active /= 2;
    }
    let result = scratch[0];
    // The scratch must not be overwritten before every unit has read it.
    sync_cube();
    result
}

/// The place of the largest `value`, the first among equals; `places` is scratch as well.
#[cube]
pub(crate) fn place_of_largest(
    value: f32,
    place: u32,
    scratch: &mut SharedMemory<f32>,
    places: &mut SharedMemory<u32>,
    #[comptime] units: u32,
) -> u32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    places[unit] = place;
    sync_cube();
    let mut active = (units / 2).runtime();
    while active > 0 {
        if UNIT_POS < active {
            let other = scratch[unit + active as usize];
            let other_place = places[unit + active as usize];
            let own = scratch[unit];
            if other > own || (other == own && other_place < places[unit]) {
                scratch[unit] = other;
                places[unit] = other_place;
            }
        }
        sync_cube();
        active /= 2;
    }
    let result = places[0];
    sync_cube();
    result
}
