//! The `main` of a plugin's `benches/throughput.rs`.
//!
//! It is a macro over the plugin's own criterion, so that the test kit does not depend on
//! criterion.

use strait_sdk::Shape;

use crate::sample::ordinary;

/// Rows and channels of the messages: one token, and 2.5 MiB, about the size of a second-level
/// cache.
pub const SHAPES: [(usize, usize); 2] = [(1, 5120), (128, 5120)];

/// Bytes of a message of ordinary values.
pub fn input(shape: Shape) -> Vec<u8> {
    ordinary(shape, 1).bytes().to_vec()
}

/// Throughput of codecs in bytes of f32 input on one thread: each codec with named parameter
/// tables.
///
/// `strait_conformance::bench!(MyCodec: [("4 bits", { "bits": 4 }), ("8 bits", { "bits": 8 })]);`
/// is the whole file; `criterion` must be a dev-dependency of the plugin. Inner codecs come first:
/// `bench!(inner [Affine]; MyCodec: [...])`.
#[macro_export]
macro_rules! bench {
    ($($codec:ty: [$(($name:expr, $params:tt)),+ $(,)?]),+ $(,)?) => {
        $crate::bench!(inner []; $($codec: [$(($name, $params)),+]),+);
    };
    (inner [$($inner:ty),*]; $($codec:ty: [$(($name:expr, $params:tt)),+ $(,)?]),+ $(,)?) => {
        #[allow(clippy::unwrap_used, clippy::cast_precision_loss)]
        fn throughput<C: ::strait_sdk::Codec>(
            criterion: &mut ::criterion::Criterion,
            name: &str,
            params: &::strait_sdk::serde_json::Value,
        ) {
            use ::strait_sdk::{Dtype, Message, MessageMut, Params, Shape};
            let read = || C::Params::from_json(params).unwrap();
            let mut codec = if C::INFO.fits {
                let [_, (rows, channels)] = $crate::__private::SHAPES;
                let shape = Shape { rows, channels, dtype: Dtype::F32 };
                let bytes = $crate::__private::input(shape);
                let sample = Message::new(shape, &bytes, &[]).unwrap();
                C::open_fitted(read(), &C::fit(&read(), &[sample]).unwrap()).unwrap()
            } else {
                C::open(read()).unwrap()
            };
            let mut group = criterion.benchmark_group(format!("{} {name}", C::INFO.id));
            for (rows, channels) in $crate::__private::SHAPES {
                let shape = Shape { rows, channels, dtype: Dtype::F32 };
                let mut bytes = $crate::__private::input(shape);
                let values: Vec<f32> = (0..rows).map(|row| 1.0 / (1.0 + row as f32)).collect();
                let names = C::INFO.side_information.iter();
                let side: Vec<_> =
                    names.map(|name| ::strait_sdk::Side::new(name, &values)).collect();
                let mut payload = Vec::new();
                group.throughput(::criterion::Throughput::Bytes(bytes.len() as u64));
                group.bench_function(format!("encode {rows}x{channels}"), |bencher| {
                    bencher.iter(|| {
                        payload.clear();
                        let message = Message::new(shape, ::std::hint::black_box(&bytes), &side);
                        codec.encode(message.unwrap(), &mut payload).unwrap();
                    });
                });
                payload.clear();
                codec.encode(Message::new(shape, &bytes, &side).unwrap(), &mut payload).unwrap();
                group.bench_function(format!("decode {rows}x{channels}"), |bencher| {
                    bencher.iter(|| {
                        let mut message = MessageMut::new(shape, &mut bytes).unwrap();
                        codec.decode(::std::hint::black_box(&payload), &mut message).unwrap();
                    });
                });
            }
            group.finish();
        }

        fn main() {
            $(::strait_sdk::offer::<$inner>();)*
            let mut criterion = ::criterion::Criterion::default().configure_from_args();
            $($(
                let params = ::strait_sdk::serde_json::json!($params);
                throughput::<$codec>(&mut criterion, $name, &params);
            )+)+
            criterion.final_summary();
        }
    };
}
