//! Reductions over the units of a cube, in an order that depends on nothing but their number.

use cubecl::prelude::*;

/// The sum of every unit's `value`. `scratch` has a place for each of the cube's `units`, a power of two.
#[cube]
pub(crate) fn sum(value: f32, scratch: &mut SharedMemory<f32>, #[comptime] units: u32) -> f32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    sync_cube();
    let mut active = (units / 2).runtime();
    while active > 0 {
        if UNIT_POS < active {
            let other = scratch[unit + active as usize];
            scratch[unit] += other;
        }
        sync_cube();
        active /= 2;
    }
    let total = scratch[0];
    // Nobody writes the scratch again before everybody has read it.
    sync_cube();
    total
}

/// The largest of every unit's `value`, as [`sum`].
#[cube]
pub(crate) fn largest(value: f32, scratch: &mut SharedMemory<f32>, #[comptime] units: u32) -> f32 {
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
    sync_cube();
    let mut active = (units / 2).runtime();
    while active > 0 {
        if UNIT_POS < active {
            let other = scratch[unit + active as usize];
            if other > scratch[unit] {
                scratch[unit] = other;
            }
        }
        sync_cube();
        active /= 2;
    }
    let result = scratch[0];
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
            let own_place = places[unit];
            if other > own || (other == own && other_place < own_place) {
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
