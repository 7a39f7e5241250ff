//! Presets against literal transcriptions of the loops they reproduce.

use proptest::prelude::*;
use strait_data::{Bos, Preset, Protocol, Scored, Tail, Window};

/// A window as (begin, end, scored targets).
type Plain = (usize, usize, Vec<usize>);

fn plain(windows: &[Window]) -> Vec<Plain> {
    assert!(windows.iter().enumerate().all(|(i, window)| window.index == i));
    windows.iter().map(|w| (w.begin, w.end, (w.score_from..w.end).collect())).collect()
}

/// The loop of the Hugging Face documentation: labels of the first `end − begin − target` tokens are
/// −100, and the loss shifts labels by one.
fn hugging_face(n: usize, max_length: usize, stride: usize) -> Vec<Plain> {
    let (mut windows, mut previous_end) = (Vec::new(), 0);
    for begin in (0..n).step_by(stride) {
        let end = (begin + max_length).min(n);
        let target_length = end - previous_end;
        let labels = end - target_length..end;
        let targets: Vec<usize> = labels.filter(|&t| t > begin).collect();
        if !targets.is_empty() {
            windows.push((begin, end, targets));
        }
        previous_end = end;
        if end == n {
            break;
        }
    }
    windows
}

/// exllamav3's compare_q: `for a in range(0, n − eval_len, eval_stride)`, at most `max_rows`.
fn compare_q(n: usize, length: usize, stride: usize, max_rows: usize) -> Vec<Plain> {
    let starts = (0..n.saturating_sub(length)).step_by(stride).take(max_rows);
    starts.map(|a| (a, a + length, (a + 1..a + length).collect())).collect()
}

/// GPTQ's evaluation: `nsamples = n // seqlen`, every position of every sample.
fn gptq(n: usize, length: usize) -> Vec<Plain> {
    (0..n / length)
        .map(|i| (i * length, (i + 1) * length))
        .map(|(a, b)| (a, b, (a + 1..b).collect()))
        .collect()
}

/// llama.cpp: outputs `n_ctx/2 .. n_ctx − 1` of every chunk are scored against the token after them.
fn llama_cpp(n: usize, n_ctx: usize) -> Vec<Plain> {
    let first = n_ctx / 2;
    (0..n / n_ctx)
        .map(|chunk| chunk * n_ctx)
        .map(|a| (a, a + n_ctx, (first..n_ctx - 1).map(|position| a + position + 1).collect()))
        .collect()
}

proptest! {
    #[test]
    fn hf_stride(n in 2_usize..400, window in 2_usize..60, stride in 1_usize..60) {
        let stride = stride.min(window);
        let windows = Protocol::new(Preset::HfStride, Some(window), Some(stride)).windows(n, Some(1)).unwrap();
        prop_assert_eq!(plain(&windows), hugging_face(n, window, stride));
        prop_assert!(windows.iter().all(|window| window.bos.is_none()));
        if stride < window {
            // Every token but the first is scored exactly once.
            let scored: Vec<usize> = windows.iter().flat_map(|w| w.score_from..w.end).collect();
            prop_assert_eq!(scored, (1..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_other_presets(n in 1_usize..400, window in 3_usize..60, stride in 1_usize..60, rows in 1_usize..30) {
        let stride = stride.min(window);
        let check = |protocol: Protocol, needed: usize, expected: Vec<Plain>| {
            match protocol.windows(n, Some(7)) {
                Ok(windows) => {
                    assert!(n >= needed);
                    assert_eq!(plain(&windows), expected);
                    let bos = (protocol.bos == Bos::EachWindow).then_some(7);
                    assert!(windows.iter().all(|window| window.bos == bos));
                }
                Err(error) => {
                    assert!(n < needed, "{error}");
                    assert!(error.to_string().contains(&format!("has {n} token")), "{error}");
                }
            }
        };
        check(Protocol::new(Preset::Gptq, Some(window), None), window, gptq(n, window));
        check(Protocol::new(Preset::Llamacpp, Some(window), None), 2 * window, llama_cpp(n, window));
        let mut exl3 = Protocol::new(Preset::Exl3, Some(window), Some(stride));
        exl3.max_windows = Some(rows);
        check(exl3, window + 1, compare_q(n, window, stride, rows));
    }

    /// Whatever is overridden, windows hold together and none is without a target.
    #[test]
    fn any_protocol(
        n in 0_usize..300, window in 0_usize..50, stride in 0_usize..50,
        limit in prop::option::of(0_usize..300), max in prop::option::of(0_usize..5),
        preset in prop::sample::select(Preset::ALL), scored in prop::sample::select(Scored::ALL),
        tail in prop::sample::select(Tail::ALL),
    ) {
        let mut protocol = Protocol::new(preset, Some(window), Some(stride));
        (protocol.first_k_tokens, protocol.max_windows) = (limit, max);
        (protocol.scored, protocol.tail) = (scored, tail);
        if let Ok(windows) = protocol.windows(n, None) {
            prop_assert!(!windows.is_empty() && windows.len() <= max.unwrap_or(usize::MAX));
            for (i, w) in windows.iter().enumerate() {
                prop_assert_eq!((w.index, w.begin), (i, i * stride));
                prop_assert!(w.begin < w.score_from && w.score_from < w.end);
                prop_assert!(w.end <= n.min(limit.unwrap_or(n)) && w.length() <= window);
                prop_assert_eq!(w.begin + w.first_position() + 1, w.score_from);
            }
        }
    }
}

#[test]
fn published_counts() {
    let scored = |preset: Preset, n: usize| {
        let windows = Protocol::published(preset).windows(n, Some(1)).unwrap();
        (windows.len(), windows.iter().map(Window::scored).sum::<usize>())
    };
    // split-bench, Qwen3: 299,078 tokens give 299,077 losses.
    assert_eq!(scored(Preset::HfStride, 299_078).1, 299_077);
    // Twenty rows of compare_q score all 2,047 positions each.
    assert_eq!(scored(Preset::Exl3, 299_078), (20, 20 * 2047));
    // Llama-3 on wiki.test.raw: 564 chunks of 255.
    assert_eq!(scored(Preset::Llamacpp, 288_937), (564, 564 * 255));
    // Llama-2 on WikiText-2: 341,469 tokens are 166 samples of 2,048.
    assert_eq!(scored(Preset::Gptq, 341_469), (166, 166 * 2047));
}

#[test]
fn a_stride_follows_the_window_where_windows_do_not_overlap() {
    let strides = Preset::ALL.iter().map(|&preset| Protocol::new(preset, Some(4096), None).stride);
    assert_eq!(strides.collect::<Vec<_>>(), [512, 4096, 512, 4096, 4096]);
    assert_eq!(Protocol::new(Preset::Gptq, Some(4096), Some(1024)).stride, 1024);
}

#[test]
fn errors_say_what_to_set() {
    let message = |preset, window, stride, n, first_k_tokens| {
        let mut protocol = Protocol::new(preset, window, stride);
        protocol.first_k_tokens = first_k_tokens;
        protocol.windows(n, None).unwrap_err().to_string()
    };
    let all = [
        message(Preset::Gptq, None, None, 300, None),
        message(Preset::Gptq, None, None, 5000, Some(300)),
        message(Preset::Llamacpp, None, None, 600, None),
        message(Preset::Exl3, None, None, 2048, None),
        message(Preset::HfStride, None, None, 1, None),
        message(Preset::HfStride, Some(0), Some(0), 300, None),
        message(Preset::HfStride, Some(512), Some(0), 300, None),
        message(Preset::HfStride, Some(256), None, 300, None),
        message(Preset::Llamacpp, Some(2), None, 300, None),
        message(Preset::HfStride, None, None, 300, Some(0)),
    ];
    insta::assert_snapshot!(all.join("\n"));
}
