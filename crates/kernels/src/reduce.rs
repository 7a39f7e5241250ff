//! Reductions over the units of a cube, in an order that depends on nothing but their number.

use cubecl::prelude::*;

/// What two values become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fold {
    /// Their sum.
    Sum,
    /// The larger one.
    Largest,
}

/// Every unit's `value` folded into one. `scratch` has a place for each of the cube's `units`, a power
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
    // Nobody writes the scratch again before everybody has read it.
    sync_cube();
    result
}

/// The place of the largest `value`, of equal ones the first; `places` is scratch as well.
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
