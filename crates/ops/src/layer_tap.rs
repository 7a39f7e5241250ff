//! A stage's tap as the blocks of one layer use it, with checks of what it returns.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use strait_vocabulary::Dtype;

use crate::error::{OpsError, panic_text};
use crate::hidden::Hidden;
use crate::tap::{Part, Place, Site, Tap};

/// The stage's tap, if it has one, as the blocks of one layer use it.
pub struct LayerTap<'a> {
    tap: Option<&'a mut (dyn Tap + 'static)>,
    call: Call,
    /// What the tap answers for this layer, asked once: by site, and for all of them.
    wanted: [bool; Site::ALL.len()],
    every_position: bool,
    degree: Option<usize>,
    layer: usize,
    first_position: usize,
}

/// Calls a tap. A backend may be a library with a standard library of its own, in which no panic of the tap may end up. So
/// the function that stops panics is the one of the program that bound the tap.
type Call = fn(&mut (dyn Tap + 'static), Place, &mut Vec<Part>) -> Result<(), TapError>;
type TapError = Box<dyn Error + Send + Sync>;

fn call(
    tap: &mut (dyn Tap + 'static),
    place: Place,
    parts: &mut Vec<Part>,
) -> Result<(), TapError> {
    catch_unwind(AssertUnwindSafe(|| tap.visit(place, parts)))
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic)).into()))
}

impl<'a> LayerTap<'a> {
    /// Binds `tap` to a layer, by its number in the model, and to tokens that begin at
    /// `first_position`.
    pub fn new(
        tap: Option<&'a mut (dyn Tap + 'static)>,
        layer: usize,
        first_position: usize,
    ) -> LayerTap<'a> {
        let Some(asked) = &tap else { return LayerTap { layer, first_position, ..Self::none() } };
        let wanted = Site::ALL.map(|site| asked.wants(site, layer));
        let every_position = asked.every_position() && wanted.contains(&true);
        let degree = asked.degree();
        LayerTap { tap, call, wanted, every_position, degree, layer, first_position }
    }

    /// A layer without a tap.
    #[must_use]
    pub fn none() -> LayerTap<'a> {
        let (wanted, every_position) = ([false; Site::ALL.len()], false);
        let (layer, first_position) = (0, 0);
        LayerTap { tap: None, call, wanted, every_position, degree: None, layer, first_position }
    }

    /// Whether the tap is called at this site.
    #[must_use]
    pub fn wants(&self, site: Site) -> bool {
        Site::ALL.iter().zip(self.wanted).any(|(&known, wanted)| wanted && known == site)
    }

    /// Whether the tap is called anywhere in this layer and needs every position there.
    #[must_use]
    pub fn every_position(&self) -> bool {
        self.every_position
    }

    /// The number of ranks whose partial sums the tap receives at a block's output; `None` if it
    /// does not want partial sums.
    #[must_use]
    pub fn ranks(&self, site: Site) -> Option<usize> {
        let degree = self.degree?;
        let summed = matches!(site, Site::AttentionOutput | Site::MlpOutput);
        (summed && self.wants(site)).then_some(degree.max(1))
    }

    /// Passes a whole tensor through the tap.
    ///
    /// # Errors
    /// When the tap fails or changes the shape.
    pub fn whole(&mut self, site: Site, states: Hidden) -> Result<Hidden, OpsError> {
        let mut parts = self.visit_alike(site, vec![Part { states, tokens: None }])?;
        parts.pop().map(|part| part.states).ok_or_else(|| left("1 part", &[]))
    }

    /// Passes the partial sums of all ranks through the tap and adds up the result in f32.
    ///
    /// # Errors
    /// When the tap fails, returns nothing, or changes a shape.
    pub fn sums(&mut self, site: Site, ranks: Vec<Hidden>) -> Result<Hidden, OpsError> {
        let parts: Vec<Part> =
            ranks.into_iter().map(|states| Part { states, tokens: None }).collect();
        let expected = forms(&parts);
        let parts = self.visit(site, parts)?;
        let (Some(form), Some(first)) = (expected.first(), parts.first()) else {
            return Err(left("at least 1 part", &parts));
        };
        if forms(&parts).iter().any(|found| found != form) {
            return Err(left(format!("parts of {form:?}"), &parts));
        }
        let Form { shape, dtype, .. } = *form;
        let mut total = first.states.to_f32();
        for part in &parts[1..] {
            total.iter_mut().zip(part.states.to_f32()).for_each(|(sum, value)| *sum += value);
        }
        Hidden::from_f32(&total, shape, dtype)
    }

    /// Passes the inputs of every expert through the tap.
    ///
    /// # Errors
    /// When the tap fails or returns other parts or shapes.
    pub fn dispatch(&mut self, experts: Vec<Part>) -> Result<Vec<Part>, OpsError> {
        self.visit_alike(Site::ExpertDispatch, experts)
    }

    /// Passes the outputs of every expert through the tap and adds them up for every token: `[batch,
    /// tokens, channels]`, rounded to `dtype` after each row.
    ///
    /// # Errors
    /// When the tap fails, or returns a part whose rows do not belong to tokens.
    pub fn combine(
        &mut self,
        experts: Vec<Part>,
        shape: [usize; 3],
        dtype: Dtype,
    ) -> Result<Hidden, OpsError> {
        let [batch, tokens, channels] = shape;
        let parts = self.visit(Site::ExpertCombine, experts)?;
        if parts.iter().any(|part| !part.has_rows_of(batch * tokens, channels)) {
            let count = batch * tokens;
            let expected = format!("rows of {channels} channels, each of a token below {count}");
            return Err(left(expected, &parts));
        }
        let mut sums = vec![0.0; shape.iter().product()];
        for part in &parts {
            let rows = part.states.to_f32();
            for (row, token) in rows.chunks_exact(channels).zip(part.tokens.iter().flatten()) {
                let sum = &mut sums[token * channels..][..channels];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                dtype.round(sum);
            }
        }
        Hidden::from_f32(&sums, shape, dtype)
    }

    /// Visits a site whose shapes must not change.
    fn visit_alike(&mut self, site: Site, parts: Vec<Part>) -> Result<Vec<Part>, OpsError> {
        let expected = forms(&parts);
        let parts = self.visit(site, parts)?;
        if forms(&parts) != expected {
            return Err(left(format!("{expected:?}"), &parts));
        }
        Ok(parts)
    }

    fn visit(&mut self, site: Site, mut parts: Vec<Part>) -> Result<Vec<Part>, OpsError> {
        let LayerTap { call, layer, first_position, .. } = *self;
        if let Some(tap) = &mut self.tap {
            call(*tap, Place { site, layer, first_position }, &mut parts)
                .map_err(|source| OpsError::Tap { site, layer, source })?;
        }
        Ok(parts)
    }
}

impl Part {
    /// Whether every row belongs to one of `tokens` tokens and has `channels` channels.
    fn has_rows_of(&self, tokens: usize, channels: usize) -> bool {
        let Part { states, tokens: Some(named) } = self else { return false };
        named.len() == states.batch * states.tokens
            && named.iter().all(|&token| token < tokens)
            && states.check(channels, states.dtype).is_ok()
    }
}

/// The properties of a part that a tap must not change.
#[derive(Debug, PartialEq)]
struct Form {
    shape: [usize; 3],
    dtype: Dtype,
    bytes: usize,
}

fn forms(parts: &[Part]) -> Vec<Form> {
    parts.iter().map(|part| form(&part.states)).collect()
}

fn form(states: &Hidden) -> Form {
    let Hidden { batch, tokens, channels, dtype, ref data } = *states;
    Form { shape: [batch, tokens, channels], dtype, bytes: data.len() }
}

fn left(expected: impl ToString, parts: &[Part]) -> OpsError {
    OpsError::size("what a tap left", expected, format!("{:?}", forms(parts)))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    /// A tap that wants partial sums and expert outputs, and applies a function to them.
    struct Act(fn(&mut Vec<Part>));

    impl Tap for Act {
        fn wants(&self, site: Site, layer: usize) -> bool {
            layer == 2 && matches!(site, Site::MlpOutput | Site::ExpertCombine | Site::Keys)
        }

        fn degree(&self) -> Option<usize> {
            Some(2)
        }

        fn visit(
            &mut self,
            place: Place,
            parts: &mut Vec<Part>,
        ) -> Result<(), Box<dyn Error + Send + Sync>> {
            assert_eq!((place.layer, place.first_position), (2, 7));
            (self.0)(parts);
            Ok(())
        }
    }

    fn row(values: &[f32]) -> Hidden {
        Hidden::from_f32(values, [1, 1, values.len()], Dtype::F32).unwrap()
    }

    #[test]
    fn a_tap_is_asked_for_its_layers_and_sites_alone() {
        let act = &mut Act(|_| ());
        let tap = LayerTap::new(Some(act), 2, 7);
        assert!(tap.wants(Site::Keys) && !tap.wants(Site::Values) && tap.every_position());
        assert_eq!((tap.ranks(Site::MlpOutput), tap.ranks(Site::Keys)), (Some(2), None));
        let tap = LayerTap::new(Some(act), 3, 7);
        assert!(!tap.wants(Site::Keys) && !tap.every_position());
        assert!(!LayerTap::none().wants(Site::Keys) && !LayerTap::none().every_position());
    }

    #[test]
    fn sums_are_of_what_is_left() {
        let all = &mut Act(|_| ());
        let mut tap = LayerTap::new(Some(all), 2, 7);
        let parts = || vec![row(&[1.0, 2.0]), row(&[10.0, 20.0])];
        assert_eq!(tap.sums(Site::MlpOutput, parts()).unwrap().to_f32(), [11.0, 22.0]);
        let first = &mut Act(|parts| parts.truncate(1));
        let mut tap = LayerTap::new(Some(first), 2, 7);
        assert_eq!(tap.sums(Site::MlpOutput, parts()).unwrap().to_f32(), [1.0, 2.0]);
        let none = &mut Act(Vec::clear);
        let error = LayerTap::new(Some(none), 2, 7).whole(Site::Keys, row(&[1.0])).unwrap_err();
        assert!(error.to_string().starts_with("what a tap left: expected ["), "{error}");
    }

    #[test]
    fn a_panic_of_a_tap_is_its_error() {
        let broken = &mut Act(|_| panic!("a tap of {}", "glass"));
        let error = LayerTap::new(Some(broken), 2, 7).whole(Site::Keys, row(&[1.0])).unwrap_err();
        let expected = "tap at keys of layer 2: panicked: a tap of glass";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn rows_of_experts_are_added_to_their_tokens() {
        let act = &mut Act(|parts| parts.swap(0, 1));
        let part = |values: &[f32], tokens: Vec<usize>| Part {
            states: Hidden::from_f32(values, [1, tokens.len(), 1], Dtype::F32).unwrap(),
            tokens: Some(tokens),
        };
        let experts = || vec![part(&[256.0, 1.0], vec![0, 2]), part(&[1.0], vec![0])];
        let mut tap = LayerTap::new(Some(act), 2, 7);
        let sum = tap.combine(experts(), [3, 1, 1], Dtype::Bf16).unwrap();
        // 257 is not representable in bf16.
        assert_eq!(sum.to_f32(), [256.0, 0.0, 1.0]);
        let error = tap.combine(experts(), [2, 1, 1], Dtype::Bf16).unwrap_err();
        let expected = "rows of 1 channels, each of a token below 2";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
