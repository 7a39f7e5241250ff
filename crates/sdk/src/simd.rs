//! The widest vectors of the CPU, for plain loops.

/// Runs `f` compiled for the widest vector instructions that this CPU has.
///
/// Everything that `f` calls must be inlined into it (`#[inline(always)]` on helpers), or it stays
/// compiled for the baseline CPU. The choice costs one atomic load; call it per message or per row,
/// not per value.
#[inline]
pub fn vectorize<R>(f: impl FnOnce() -> R) -> R {
    struct Op<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Op<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Op(f))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_result_comes_back() {
        let values: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let doubled: Vec<f32> = super::vectorize(|| values.iter().map(|v| v * 2.0).collect());
        assert_eq!(doubled[99], 198.0);
    }
}
