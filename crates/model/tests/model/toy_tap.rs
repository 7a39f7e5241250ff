//! A toy tap, whole: what a new one takes is a file like this and the line that names it.

use std::error::Error;

use strait_model::{Device, Dtype, Hidden, Part, Place, Site, Tap};

use crate::support::{hidden, load};

/// Erases every second channel of what the MLP of one layer gives.
struct Comb {
    layer: usize,
}

impl Tap for Comb {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == Site::MlpOutput && layer == self.layer
    }

    fn visit(
        &mut self,
        _: Place,
        parts: &mut Vec<Part>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for part in parts {
            let Hidden { batch, tokens, channels, dtype, .. } = part.states;
            let mut values = part.states.to_f32();
            values.iter_mut().skip(1).step_by(2).for_each(|value| *value = 0.0);
            part.states = Hidden::from_f32(&values, [batch, tokens, channels], dtype)?;
        }
        Ok(())
    }
}

#[test]
fn a_comb_takes_every_second_channel_of_its_layer() {
    let tokens = [3, 1, 4, 1, 5, 9];
    let mut model = load("llama", &[0], Device::Cpu, Dtype::F32);
    let plain = hidden(&mut model, &tokens, 1).to_f32();
    model.stages()[0].set_tap(Some(Box::new(Comb { layer: 1 })));
    assert_eq!(hidden(&mut model, &tokens, 1).to_f32(), plain);
    model.stages()[0].set_tap(Some(Box::new(Comb { layer: 0 })));
    let combed = hidden(&mut model, &tokens, 1).to_f32();
    for (channel, (combed, plain)) in combed.iter().zip(&plain).enumerate() {
        assert!(channel % 2 == 1 || combed == plain);
    }
    assert_ne!(combed, plain);
}
