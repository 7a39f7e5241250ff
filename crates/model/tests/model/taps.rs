//! Taps: a copy changes no bit at any site, a replacement changes results, and what a tap is shown is
//! what the model computes with.

use std::error::Error;
use std::sync::{Arc, Mutex};

use strait_model::{
    CacheVisitor, CachedLayer, CachedRun, Device, Dtype, Hidden, Model, Part, Place, RunInput,
    ScoreRange, Site, Tap,
};

use crate::support::{
    FAMILIES, devices, embed, hidden, load, next_tokens, reference, relative_error,
};

/// What a tap left.
type Shown = Arc<Mutex<Vec<(Place, Vec<Part>)>>>;

/// Does something to what it is shown at some sites, and keeps that.
struct Probe {
    sites: Vec<Site>,
    degree: Option<usize>,
    every_position: bool,
    act: fn(&mut Vec<Part>),
    shown: Shown,
}

impl Probe {
    fn at(sites: &[Site], act: fn(&mut Vec<Part>)) -> Probe {
        let (sites, shown) = (sites.to_vec(), Shown::default());
        Probe { sites, degree: None, every_position: true, act, shown }
    }
}

impl Tap for Probe {
    fn wants(&self, site: Site, _: usize) -> bool {
        self.sites.contains(&site)
    }

    fn degree(&self) -> Option<usize> {
        self.degree
    }

    fn every_position(&self) -> bool {
        self.every_position
    }

    fn visit(
        &mut self,
        place: Place,
        parts: &mut Vec<Part>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        (self.act)(parts);
        self.shown.lock().unwrap().push((place, parts.clone()));
        Ok(())
    }
}

fn nothing(_: &mut Vec<Part>) {}

/// Replaces every tensor by its values.
fn copy(parts: &mut Vec<Part>) {
    scale(parts, 1.0);
}

fn halve(parts: &mut Vec<Part>) {
    scale(parts, 0.5);
}

fn scale(parts: &mut Vec<Part>, factor: f32) {
    for part in parts {
        let Hidden { batch, tokens, channels, dtype, .. } = part.states;
        let values: Vec<f32> = part.states.to_f32().iter().map(|value| value * factor).collect();
        part.states = Hidden::from_f32(&values, [batch, tokens, channels], dtype).unwrap();
    }
}

/// Adds all parts up, as one rank or node would that has them all.
fn reduce(parts: &mut Vec<Part>) {
    let all: Vec<usize> = (0..40).collect();
    let channels = parts[0].states.channels;
    let mut sum = vec![0.0; all.len() * channels];
    for part in &*parts {
        let tokens = part.tokens.as_ref().unwrap_or(&all);
        for (row, token) in part.states.to_f32().chunks_exact(channels).zip(tokens) {
            let sum = &mut sum[token * channels..][..channels];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    }
    let tokens = parts[0].tokens.is_some().then_some(all);
    let [batch, length] = if tokens.is_some() { [1, 40] } else { [2, 20] };
    let states = Hidden::from_f32(&sum, [batch, length, channels], Dtype::F32).unwrap();
    *parts = vec![Part { states, tokens }];
}

fn is_of_experts(site: Site) -> bool {
    matches!(site, Site::ExpertDispatch | Site::ExpertCombine)
}

/// Whether any layer has experts.
fn has_experts(model: &Model) -> bool {
    model.config().blocks.iter().any(|block| block.mlp.experts.is_some())
}

/// Every family on every device.
fn families_on_devices() -> impl Iterator<Item = (&'static str, Device)> {
    devices().into_iter().flat_map(|device| FAMILIES.iter().map(move |&name| (name, device)))
}

fn tokens(model: &Model, length: usize) -> Vec<u32> {
    let vocab = model.config().shape.vocab;
    (0..length).map(|i| (i * i * 31 % vocab) as u32).collect()
}

/// Gives every stage a tap that writes to the same list.
fn set(model: &mut Model, probe: &Probe) {
    for stage in model.stages() {
        let Probe { degree, every_position, act, .. } = *probe;
        let (sites, shown) = (probe.sites.clone(), Arc::clone(&probe.shown));
        stage.set_tap(Some(Box::new(Probe { sites, degree, every_position, act, shown })));
    }
}

fn take(probe: &Probe) -> Vec<(Place, Vec<Part>)> {
    std::mem::take(&mut probe.shown.lock().unwrap())
}

/// Everything that comes out of a model for two sequences: states at the cut, scores of all and of
/// the last positions, and what runs with caches give.
fn results(model: &mut Model) -> (Hidden, Vec<Vec<f64>>, Vec<Hidden>) {
    let length = model.config().positions.unwrap_or(70).min(70);
    let tokens = tokens(model, 2 * length);
    let state = hidden(model, &tokens, 2);
    let all: Vec<ScoreRange> = tokens.chunks(length).map(next_tokens).collect();
    let late = |range: &ScoreRange| ScoreRange {
        first_position: length * 3 / 4,
        targets: range.targets[length * 3 / 4..].to_vec(),
    };
    let late: Vec<ScoreRange> = all.iter().map(late).collect();
    let mut scores = Vec::new();
    for ranges in [all, late] {
        let own = reference(model, &state, &ranges).0;
        scores.extend(own.into_iter().map(|scores| scores.nll));
    }
    let mut cached = Vec::new();
    let mut caches: Vec<_> =
        model.stages().iter_mut().map(|stage| stage.open_caches(2, true)).collect();
    let mut first = 0;
    for run in [length - 20, 1, 19] {
        let part: Vec<u32> =
            tokens.chunks(length).flat_map(|tokens| tokens[first..first + run].to_vec()).collect();
        let mut states: Option<Hidden> = None;
        for (stage, caches) in model.stages().iter_mut().zip(&mut caches) {
            let input = match &states {
                None => RunInput::Tokens { tokens: &part, batch: 2 },
                Some(states) => RunInput::Hidden(states),
            };
            let cached = CachedRun { caches, first_position: first, visitor: None };
            states = Some(stage.run(input, Some(cached)).unwrap());
        }
        cached.extend(states);
        first += run;
    }
    (state, scores, cached)
}

#[test]
fn a_copy_changes_no_bit_at_any_site() {
    for (name, device) in families_on_devices() {
        let all = [Dtype::F32, Dtype::Bf16, Dtype::F16];
        let dtypes = if device == Device::Cpu { &all[..] } else { &all[..1] };
        // Elsewhere the number of positions decides how a product is summed.
        let every_position = device == Device::Cpu;
        for &dtype in dtypes {
            let mut model = load(name, &[0], device, dtype);
            let plain = results(&mut model);
            for site in Site::ALL {
                let probe = Probe { every_position, ..Probe::at(&[site], copy) };
                set(&mut model, &probe);
                assert!(results(&mut model) == plain, "{name} on {device} in {dtype}, {site}");
                let visited = !take(&probe).is_empty();
                assert_eq!(visited, !is_of_experts(site) || has_experts(&model), "{name}, {site}");
            }
            let probe = Probe { every_position, ..Probe::at(&Site::ALL, copy) };
            set(&mut model, &probe);
            assert!(results(&mut model) == plain, "{name} on {device} in {dtype}, all sites");
        }
    }
}

#[test]
fn a_replacement_changes_results_at_every_site_until_it_is_taken_off() {
    for (name, device) in families_on_devices() {
        let mut model = load(name, &[0], device, Dtype::F32);
        let plain = results(&mut model);
        for site in Site::ALL {
            if is_of_experts(site) && !has_experts(&model) {
                continue;
            }
            set(&mut model, &Probe::at(&[site], halve));
            let (state, scores, cached) = results(&mut model);
            assert_ne!(scores, plain.1, "{name}, {site}");
            assert!(cached != plain.2, "{name}, {site}");
            // The first layer may be one without experts.
            assert!(is_of_experts(site) || state != plain.0, "{name}, {site}");
            for stage in model.stages() {
                assert!(stage.set_tap(None).is_some());
                assert!(stage.set_tap(None).is_none());
            }
            assert!(results(&mut model) == plain, "{name}, {site}");
        }
    }
}

/// The only part of what was shown at `site` of `layer`.
fn whole(shown: &[(Place, Vec<Part>)], site: Site, layer: usize) -> Vec<f32> {
    let at = |(place, _): &&(Place, Vec<Part>)| place.site == site && place.layer == layer;
    let [part] = &shown.iter().find(at).unwrap().1[..] else { panic!("one part") };
    part.states.to_f32()
}

#[test]
fn a_layer_is_the_sum_of_what_its_sites_show() {
    for (name, device) in families_on_devices() {
        let mut model = load(name, &[], device, Dtype::F32);
        let probe = Probe::at(&Site::ALL, nothing);
        set(&mut model, &probe);
        let tokens = tokens(&model, 40);
        let state = hidden(&mut model, &tokens, 2);
        reference(&mut model, &state, &[next_tokens(&tokens[..20]), next_tokens(&tokens[20..])]);
        let shown = take(&probe);
        let mut x = state.to_f32();
        for layer in 0..model.config().layers {
            let attended = whole(&shown, Site::AttentionOutput, layer);
            let given = whole(&shown, Site::MlpOutput, layer);
            let parallel = model.config().blocks[layer].parallel;
            for ((x, attended), given) in x.iter_mut().zip(attended).zip(given) {
                *x = if parallel { *x + (given + attended) } else { *x + attended + given };
            }
            assert_eq!(x, whole(&shown, Site::LayerOutput, layer), "{name}, layer {layer}");
            let block = &model.config().blocks[layer].attention;
            for (site, dim) in [(Site::Keys, block.head_dim), (Site::Values, block.value_dim)] {
                let size = 40 * block.kv_heads * dim;
                assert_eq!(whole(&shown, site, layer).len(), size, "{name}, {site}");
            }
        }
        assert!(shown.iter().all(|(place, _)| place.first_position == 0));
    }
}

/// Compares what a cache holds of a run with what a tap was shown of it.
struct Compare {
    shown: Shown,
    visits: usize,
}

impl CacheVisitor for Compare {
    fn probes(&self, _: usize) -> bool {
        false
    }

    fn visit(&mut self, layer: &mut dyn CachedLayer) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (shown, positions) = (self.shown.lock().unwrap(), layer.positions());
        let (shape, heads) = (layer.shape().clone(), layer.shape().kv_heads);
        let [keys, values] =
            [Site::Keys, Site::Values].map(|site| whole(&shown, site, layer.number()));
        for (index, head) in layer.contents()?.heads.iter().enumerate() {
            for (token, position) in positions.clone().enumerate() {
                for (shown, kept, dim) in
                    [(&keys, &head.keys, shape.head_dim), (&values, &head.values, shape.value_dim)]
                {
                    let own = &shown[(token * heads + index) * dim..][..dim];
                    assert_eq!(own, &kept[position * dim..][..dim]);
                }
            }
        }
        self.visits += 1;
        Ok(())
    }
}

#[test]
fn keys_and_values_are_those_that_a_cache_keeps() {
    for (name, device) in families_on_devices() {
        for rotated in [true, false] {
            let mut model = load(name, &[], device, Dtype::Bf16);
            let probe = Probe::at(&[Site::Keys, Site::Values], halve);
            set(&mut model, &probe);
            let (tokens, layers) = (tokens(&model, 24), model.config().layers);
            let stage = &mut model.stages()[0];
            let mut caches = stage.open_caches(1, rotated);
            for (first, run) in [(0, &tokens[..23]), (23, &tokens[23..])] {
                let mut compare = Compare { shown: Arc::clone(&probe.shown), visits: 0 };
                let cached = CachedRun {
                    caches: &mut caches,
                    first_position: first,
                    visitor: Some(&mut compare),
                };
                stage.run(RunInput::Tokens { tokens: run, batch: 1 }, Some(cached)).unwrap();
                assert_eq!(compare.visits, layers);
                assert!(take(&probe).iter().all(|(place, _)| place.first_position == first));
            }
        }
    }
}

#[test]
fn partial_sums_add_up() {
    for (name, device) in families_on_devices() {
        for site in [Site::AttentionOutput, Site::MlpOutput] {
            let mut model = load(name, &[], device, Dtype::F32);
            let states = |model: &mut Model, probe: &Probe| {
                set(model, probe);
                let tokens = tokens(model, 40);
                let state = hidden(model, &tokens, 2);
                let ranges = [next_tokens(&tokens[..20]), next_tokens(&tokens[20..])];
                reference(model, &state, &ranges);
                whole(&take(probe), Site::LayerOutput, model.config().layers - 1)
            };
            let plain = states(&mut model, &Probe::at(&[Site::LayerOutput], nothing));
            for degree in [1, 2, 3] {
                let sites = [site, Site::LayerOutput];
                let alone = Probe { degree: Some(degree), ..Probe::at(&sites, nothing) };
                let split = states(&mut model, &alone);
                if degree == 1 {
                    assert_eq!(split, plain, "{name}, {site}");
                }
                let channels = model.config().shape.hidden;
                let error = relative_error(&split, &plain, channels);
                assert!(error < 1e-5, "{name}, {site} of {degree}: {error}");
                let reduced = Probe { act: reduce_ranks, ..alone };
                assert_eq!(states(&mut model, &reduced), split, "{name}, {site} of {degree}");
            }
        }
    }
}

fn reduce_ranks(parts: &mut Vec<Part>) {
    assert!(parts.iter().all(|part| part.states.dtype == Dtype::F32 && part.tokens.is_none()));
    reduce(parts);
}

#[test]
fn experts_are_shown_their_tokens_and_may_be_joined() {
    for (name, device) in families_on_devices() {
        let mut model = load(name, &[], device, Dtype::F32);
        if !has_experts(&model) {
            continue;
        }
        let sites = [Site::ExpertDispatch, Site::ExpertCombine, Site::LayerOutput];
        let probe = Probe::at(&sites, nothing);
        set(&mut model, &probe);
        let tokens = tokens(&model, 40);
        let state = hidden(&mut model, &tokens, 2);
        let ranges = [next_tokens(&tokens[..20]), next_tokens(&tokens[20..])];
        let (scores, _) = reference(&mut model, &state, &ranges);
        for (place, parts) in take(&probe).iter().filter(|(place, _)| is_of_experts(place.site)) {
            let routing = model.config().blocks[place.layer].mlp.experts.unwrap().routing;
            let mut rows = vec![0; 40];
            for part in parts {
                let tokens = part.tokens.as_ref().unwrap();
                assert!(tokens.is_sorted() && tokens.len() == part.states.tokens);
                tokens.iter().for_each(|&token| rows[token] += 1);
            }
            assert!(rows.iter().all(|&count| count == routing.chosen), "{name}: {rows:?}");
        }
        // One node that has all experts sends back one row for every token.
        set(&mut model, &Probe::at(&[Site::ExpertCombine], reduce));
        assert_eq!(reference(&mut model, &state, &ranges).0, scores, "{name}");
    }
}

#[test]
fn the_last_layer_is_whole_for_taps_that_need_it() {
    // Exact on the CPU, where a position does not depend on how many run beside it.
    for name in FAMILIES {
        let mut model = load(name, &[], Device::Cpu, Dtype::F32);
        let length = model.config().positions.unwrap_or(150);
        let tokens = tokens(&model, length);
        let state = hidden(&mut model, &tokens, 1);
        let all = next_tokens(&tokens);
        let first = length - 3;
        let late = ScoreRange { first_position: first, targets: all.targets[first..].to_vec() };
        let mut shown = |range: &ScoreRange, every_position: bool| {
            let sites = [Site::AttentionOutput, Site::LayerOutput];
            let probe = Probe { every_position, ..Probe::at(&sites, nothing) };
            set(&mut model, &probe);
            reference(&mut model, &state, std::slice::from_ref(range));
            let (shown, last) = (take(&probe), model.config().layers - 1);
            sites.map(|site| whole(&shown, site, last))
        };
        let whole = shown(&all, true);
        assert_eq!(shown(&late, true), whole, "{name}");
        let part = shown(&late, false);
        for (part, whole) in part.iter().zip(&whole) {
            let scored = part.len() / length * first;
            assert_eq!(part[scored..], whole[scored..], "{name}");
            assert!(part.iter().all(|value| value.is_finite()));
        }
    }
}

/// The error of a run with `probe`.
fn error(name: &str, probe: &Probe) -> String {
    let mut model = load(name, &[1], Device::Cpu, Dtype::F32);
    set(&mut model, probe);
    embed(&mut model.stages()[0], &[1, 2, 3, 4], 2).unwrap_err().to_string()
}

struct Broken;

impl Tap for Broken {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == Site::Values && layer == 1
    }

    fn visit(&mut self, _: Place, _: &mut Vec<Part>) -> Result<(), Box<dyn Error + Send + Sync>> {
        Err("out of order".into())
    }
}

#[test]
fn what_a_tap_does_wrong_is_one_clear_error() {
    let mut model = load("llama", &[1], Device::Cpu, Dtype::F32);
    model.stages()[0].set_tap(Some(Box::new(Broken)));
    let message = embed(&mut model.stages()[0], &[1, 2], 1).unwrap_err().to_string();
    assert_eq!(message, "tap at values of layer 1: out of order");

    for site in Site::ALL {
        let message = error("mixtral", &Probe::at(&[site], shorten));
        assert!(message.starts_with("what a tap left: expected "), "{site}: {message}");
    }
    for site in [Site::AttentionOutput, Site::MlpOutput] {
        let none = Probe { degree: Some(2), ..Probe::at(&[site], Vec::clear) };
        let message = error("llama", &none);
        assert_eq!(message, "what a tap left: expected at least 1 part, found []");
        let many = Probe { degree: Some(1 << 20), ..none };
        let message = error("llama", &many);
        assert!(
            message.starts_with("degree of tensor parallelism: expected at most "),
            "{message}"
        );
    }
}

/// Takes a channel away.
fn shorten(parts: &mut Vec<Part>) {
    for part in parts {
        let Hidden { batch, tokens, channels, dtype, .. } = part.states;
        part.states = Hidden::zeros(batch, tokens, channels - 1, dtype);
    }
}
