//! No codec allocates memory for every row: allocations of the catalogue's cells, counted.

use std::path::Path;

use allocation_counter::measure;
use serde_json::{Map, Value};
use strait_schema::{CellSpec, Experiment};
use strait_sdk::{Codec, Dtype, Message, MessageMut, Params, Shape, Side};

/// Values of a row.
const CHANNELS: usize = 576;

/// Rows of the two messages whose allocations are compared.
const ROWS: [usize; 2] = [48, 384];

/// What buffers that grow by doubling may take more for the longer message: three steps for each of a
/// dozen. One allocation a row would be 336.
const GROWTH: i64 = 36;

/// Codecs that allocate for rows, with the most allocations a row on either side.
///
/// `delta` predicts a row from the decoded one before it, so that with `chunk = 1` every row is a message
/// of the inner codec; it is encoded, and decoded on the encoding side too. `affine` takes a handful of
/// vectors for the ranges and grids of a message.
const PER_ROW: &[(&str, i64)] = &[("delta", 16)];

macro_rules! codecs {
    ($($codec:ty),+ $(,)?) => {
        const CODECS: &[(&str, fn(&Value, Dtype) -> [i64; 2])] =
            &[$((<$codec as Codec>::INFO.id, growth::<$codec>)),+];

        fn offer_all() {
            $(strait_sdk::offer::<$codec>();)+
        }
    };
}

codecs!(
    strait_affine::Affine,
    strait_blockfloat::Blockfloat,
    strait_blockfloat::Mx,
    strait_blockfloat::Nvfp4,
    strait_cast::Cast,
    strait_delta::Delta,
    strait_frontier::Frontier,
    strait_frontier::FrontierFitted,
    strait_ggml::Ggml,
    strait_hadamard::Exl3,
    strait_hadamard::Hadamard,
    strait_hivemind::Hivemind,
    strait_hqq::Hqq,
    strait_importance::Channels,
    strait_importance::Mixed,
    strait_lossless::Lossless,
    strait_lowrank::Lowrank,
    strait_lowrank::Pca,
    strait_outlier::Columns,
    strait_outlier::Tokens,
    strait_outlier::Values,
    strait_rowcolmean::Rowcolmean,
    strait_sparse::Sparse,
    strait_spectral::Spectral,
    strait_tahquant::Tahquant,
);

#[test]
fn no_codec_allocates_for_every_row() {
    offer_all();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/catalogue.toml");
    let experiment = Experiment::load(file).unwrap();
    // Of swept numbers the first: more bits of the same are not more allocations.
    let first = |cell: &CellSpec| {
        let mut sweep = experiment.compressor[cell.compressor].sweep.iter();
        sweep.all(|(key, values)| !values[0].is_number() || at(&cell.params, key) == &values[0])
    };
    let mut cells: Vec<(String, String, Map<String, Value>)> = experiment
        .cells()
        .unwrap()
        .into_iter()
        .filter(first)
        .map(|cell| (cell.label, cell.codec, cell.params))
        .collect();
    for (id, _) in CODECS {
        if cells.iter().all(|(_, codec, _)| codec != id) {
            cells.push(((*id).to_owned(), (*id).to_owned(), Map::new()));
        }
    }
    let mut wrong = Vec::new();
    for (label, codec, params) in cells {
        let (_, growth) = CODECS.iter().find(|(id, _)| *id == codec).unwrap();
        let params = Value::Object(params);
        for dtype in [Dtype::F32, Dtype::BF16] {
            let found = growth(&params, dtype);
            let rows = (ROWS[1] - ROWS[0]) as i64;
            let allowed = PER_ROW.iter().find(|(id, _)| *id == codec);
            let allowed = GROWTH + allowed.map_or(0, |(_, per_row)| per_row * rows);
            if found.iter().any(|count| *count > allowed) {
                wrong.push(format!("{label} ({codec}, {dtype}): {found:?} more than {allowed}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "allocations of encode and decode that {} rows take beyond {}:\n{}",
        ROWS[1],
        ROWS[0],
        wrong.join("\n")
    );
}

/// The value of a key, whose dots lead into inner codecs.
fn at<'a>(params: &'a Map<String, Value>, key: &str) -> &'a Value {
    match key.split_once('.') {
        Some((table, key)) => at(params[table].as_object().unwrap(), key),
        None => &params[key],
    }
}

/// Allocations of encoding and of decoding a long message, less those of a short one; both after a
/// message of the longer kind.
fn growth<C: Codec>(params: &Value, dtype: Dtype) -> [i64; 2] {
    let long = Rows::new::<C>(ROWS[1], dtype);
    let read = || C::Params::from_json(params).unwrap();
    let artifact = C::INFO.fits.then(|| C::fit(&read(), &[long.message()]).unwrap());
    let open = || match &artifact {
        Some(artifact) => C::open_fitted(read(), artifact).unwrap(),
        None => C::open(read()).unwrap(),
    };
    let (mut encoder, mut decoder) = (open(), open());
    let mut count = |rows: &Rows| {
        let mut payload =
            Vec::with_capacity(rows.bytes.len() * 4 + encoder.payload_bytes(rows.shape).limit());
        let encoding = measure(|| encoder.encode(rows.message(), &mut payload).unwrap());
        let mut bytes = vec![0; rows.bytes.len()];
        let mut message = MessageMut::new(rows.shape, &mut bytes).unwrap();
        let decoding = measure(|| decoder.decode(&payload, &mut message).unwrap());
        [encoding.count_total as i64, decoding.count_total as i64]
    };
    count(&long);
    let [short, long] = [count(&Rows::new::<C>(ROWS[0], dtype)), count(&long)];
    [long[0] - short[0], long[1] - short[1]]
}

/// A message with the side information that a codec asks for.
struct Rows {
    shape: Shape,
    bytes: Vec<u8>,
    values: Vec<f32>,
    names: &'static [&'static str],
}

impl Rows {
    fn new<C: Codec>(rows: usize, dtype: Dtype) -> Rows {
        let shape = Shape { rows, channels: CHANNELS, dtype };
        let mut state = 1_u32;
        let values: Vec<f32> = (0..shape.values())
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let large = if i % CHANNELS % 97 == 3 { 20.0 } else { 1.0 };
                large * ((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
            })
            .collect();
        let mut bytes = vec![0; shape.bytes()];
        MessageMut::new(shape, &mut bytes).unwrap().write_f32(&values).unwrap();
        let values = (0..rows).map(|row| 1.0 / (1.0 + row as f32)).collect();
        Rows { shape, bytes, values, names: C::INFO.side_information }
    }

    fn message(&self) -> Message<'_> {
        let sides: Vec<Side<'_>> =
            self.names.iter().map(|name| Side::new(name, &self.values)).collect();
        // A handful of names, in a test that ends soon.
        Message::new(self.shape, &self.bytes, sides.leak()).unwrap()
    }
}
