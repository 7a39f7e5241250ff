//! Keys of quantization configurations that may go unread, each with the reason.

use crate::unread::Harmless;

const METHOD: &str = "how the quantizer found the codes, which are stored";
const STORED: &str = "the stored tensors tell";
const TOOL: &str = "which tool wrote the file";
const ACTIVATIONS: &str = "of activations, which are not quantized: weights only";
const CACHE: &str = "of the KV cache, which is not quantized: weights only";
const RUNTIME: &str = "how the tool runs the model: which kernels, how much memory";

const fn harmless(name: &'static str, because: &'static str) -> Harmless {
    Harmless::new(name, because)
}

/// Keys of compressed-tensors.
pub(super) const COMPRESSED_TENSORS: &[Harmless] = &[
    harmless("quantization_status", STORED),
    harmless("global_compression_ratio", STORED),
    harmless("version", TOOL),
    harmless("run_compressed", RUNTIME),
    harmless("observer", METHOD),
    harmless("observer_kwargs", METHOD),
    harmless("scale_dtype", STORED),
    harmless("zp_dtype", STORED),
    harmless("block_structure", "read where the strategy is \"block\""),
    harmless("requires_grad", "of use in training alone"),
    harmless(
        "precision",
        "the type in which a transform is made; it is folded into the weight in f64",
    ),
];

/// Keys of ModelOpt.
pub(super) const MODELOPT: &[Harmless] = &[
    harmless("producer", TOOL),
    harmless("version", TOOL),
    harmless("exclude_modules", STORED),
    harmless("ignore", STORED),
    harmless("pre_quant_scale", STORED),
    harmless("group_size", "16 wherever NVFP4 is, and of no use elsewhere"),
];

/// Keys of FP8 in blocks.
pub(super) const BLOCK_FP8: &[Harmless] = &[
    harmless("modules_to_not_convert", STORED),
    harmless("modules_to_convert", STORED),
    harmless("ignored_layers", STORED),
    harmless("scale_fmt", STORED),
    harmless("dequantize", RUNTIME),
];

/// Keys of GPTQ, and of AutoRound in GPTQ's packing.
pub(super) const GPTQ: &[Harmless] = &[
    harmless("damp_percent", METHOD),
    harmless("damp_auto_increment", METHOD),
    harmless("static_groups", METHOD),
    harmless("true_sequential", METHOD),
    harmless("act_group_aware", METHOD),
    harmless("mse", METHOD),
    harmless("gptaq", METHOD),
    harmless("foem", METHOD),
    harmless("hessian", METHOD),
    harmless("fallback", METHOD),
    harmless("dataset", METHOD),
    harmless("tokenizer", METHOD),
    harmless("model_seqlen", METHOD),
    harmless("batch_size", METHOD),
    harmless("pad_token_id", METHOD),
    harmless("cache_block_outputs", METHOD),
    harmless("block_name_to_quantize", STORED),
    harmless("module_name_preceding_first_block", STORED),
    harmless("modules_in_block_to_quantize", STORED),
    harmless("lm_head", STORED),
    harmless("meta", TOOL),
    harmless("quantizer", TOOL),
    harmless("model_name_or_path", TOOL),
    harmless("model_file_base_name", TOOL),
    harmless("max_input_length", RUNTIME),
    harmless("backend", RUNTIME),
    harmless("use_exllama", RUNTIME),
    harmless("disable_exllama", RUNTIME),
    harmless("exllama_config", RUNTIME),
    harmless("use_cuda_fp16", RUNTIME),
    harmless("pack_impl", RUNTIME),
    harmless("parallel_packing", RUNTIME),
    harmless("offload_to_disk", RUNTIME),
    harmless("offload_to_disk_path", RUNTIME),
    harmless("device", RUNTIME),
    // Keys specific to AutoRound.
    harmless("autoround_version", TOOL),
    harmless("provider", TOOL),
    harmless("iters", METHOD),
    harmless("lr", METHOD),
    harmless("minmax_lr", METHOD),
    harmless("nsamples", METHOD),
    harmless("seqlen", METHOD),
    harmless("enable_quanted_input", METHOD),
    harmless("enable_minmax_tuning", METHOD),
    harmless("gradient_accumulate_steps", METHOD),
    harmless("low_gpu_mem_usage", METHOD),
    harmless("amp", METHOD),
    harmless("scale_dtype", STORED),
    harmless("to_quant_block_names", STORED),
    harmless("act_dynamic", ACTIVATIONS),
    harmless("act_data_type", ACTIVATIONS),
    harmless("act_group_size", ACTIVATIONS),
    harmless("act_sym", ACTIVATIONS),
];

/// Keys of AWQ.
pub(super) const AWQ: &[Harmless] = &[
    harmless("zero_point", "zero points are stored either way"),
    harmless("modules_to_not_convert", STORED),
    harmless("do_fuse", RUNTIME),
    harmless("fuse_max_seq_len", RUNTIME),
    harmless("modules_to_fuse", RUNTIME),
    harmless("exllama_config", RUNTIME),
    harmless("backend", RUNTIME),
    harmless("sym", "zero points are stored either way"),
    harmless("desc_act", METHOD),
    harmless("act_group_aware", METHOD),
    harmless("damp_percent", METHOD),
    harmless("true_sequential", METHOD),
    harmless("dataset", METHOD),
    harmless("tokenizer", METHOD),
    harmless("batch_size", METHOD),
    harmless("cache_block_outputs", METHOD),
    harmless("pad_token_id", METHOD),
    harmless("block_name_to_quantize", STORED),
    harmless("modules_in_block_to_quantize", STORED),
    harmless("module_name_preceding_first_block", STORED),
    harmless("model_seqlen", METHOD),
    harmless("max_input_length", RUNTIME),
    harmless("lm_head", STORED),
    harmless("meta", TOOL),
    harmless("autoround_version", TOOL),
    harmless("provider", TOOL),
    harmless("iters", METHOD),
    harmless("to_quant_block_names", STORED),
];

/// Keys of MLX.
pub(super) const MLX: &[Harmless] = &[harmless("quant_method", TOOL)];

/// Keys of torchao.
pub(super) const TORCHAO: &[Harmless] = &[
    harmless("include_input_output_embeddings", STORED),
    harmless("untie_embedding_weights", STORED),
    harmless("modules_to_not_convert", STORED),
    harmless("set_inductor_config", RUNTIME),
    harmless("quant_type_kwargs", STORED),
    harmless("_version", TOOL),
    harmless("group_size", STORED),
    harmless("reduce_range", METHOD),
    harmless("activation_value_lb", ACTIVATIONS),
    harmless("activation_value_ub", ACTIVATIONS),
    harmless("act_quant_scale", ACTIVATIONS),
    harmless("act_quant_zero_point", ACTIVATIONS),
    harmless("weight_only_decode", RUNTIME),
    harmless("alg_id", RUNTIME),
];

/// Keys of HQQ, whose modules store all that they need.
pub(super) const HQQ: &[Harmless] = &[harmless("skip_modules", STORED)];

/// Keys of AQLM.
pub(super) const AQLM: &[Harmless] = &[
    harmless("in_group_size", STORED),
    harmless("out_group_size", STORED),
    harmless("num_codebooks", STORED),
    harmless("nbits_per_codebook", STORED),
    harmless("linear_weights_not_to_quantize", STORED),
];

/// Keys of VPTQ.
pub(super) const VPTQ: &[Harmless] = &[
    harmless("modules_to_not_convert", STORED),
    harmless("bias", STORED),
    harmless("enable_proxy_error", METHOD),
    harmless("dtype", STORED),
    harmless("device", RUNTIME),
];

/// Keys of FBGEMM.
pub(super) const FBGEMM: &[Harmless] =
    &[harmless("modules_to_not_convert", STORED), harmless("activation_scale_ub", ACTIVATIONS)];

/// Keys of AMD Quark.
pub(super) const QUARK: &[Harmless] = &[
    harmless("exclude", STORED),
    harmless("group_size", STORED),
    harmless("block_size", STORED),
    harmless("symmetric", "zero points are stored either way"),
    harmless("scale_type", STORED),
    harmless("weight_merge_groups", "weights that share a scale, which each of them stores"),
    harmless("shared_scale_groups", "weights that share a scale, which each of them stores"),
    harmless("observer_cls", METHOD),
    harmless("round_method", METHOD),
    harmless("scale_calculation_mode", METHOD),
    harmless("quant_flow", METHOD),
    harmless("sync_moe_expert_input_amax", METHOD),
    harmless("keep_prequantized_layers", METHOD),
    harmless("enable_buffer_reuse", METHOD),
    harmless("max_input_numel", METHOD),
    harmless("is_dynamic", "of activations; a stored weight has its scales"),
    harmless("is_scale_quant", "of scales of scales, whose tensors would go unread"),
    harmless("kv_cache_group", CACHE),
    harmless("min_kv_scale", CACHE),
    harmless("kv_cache_post_rope", CACHE),
    harmless("quant_mode", TOOL),
    harmless("version", TOOL),
    harmless("log_severity_level", RUNTIME),
    harmless("target_device", RUNTIME),
    harmless("gpu_resident_blocks", RUNTIME),
];

/// Keys of methods that name the modules that stay dense and nothing else.
pub(super) const MODULES: &[Harmless] = &[
    harmless("modules_to_not_convert", STORED),
    harmless("rms_norm_eps", "of a norm that is refused"),
];

/// Keys of bitsandbytes.
pub(super) const BITSANDBYTES: &[Harmless] = &[
    harmless("load_in_4bit", STORED),
    harmless("load_in_8bit", STORED),
    harmless("_load_in_4bit", STORED),
    harmless("_load_in_8bit", STORED),
    harmless("bnb_4bit_quant_type", STORED),
    harmless("bnb_4bit_use_double_quant", STORED),
    harmless("bnb_4bit_quant_storage", STORED),
    harmless("bnb_4bit_compute_dtype", "products are made in the model's type, as everywhere"),
    harmless("llm_int8_threshold", "a rule for activations, which are not quantized: weights only"),
    harmless("llm_int8_skip_modules", STORED),
    harmless("llm_int8_has_fp16_weight", STORED),
    harmless("llm_int8_enable_fp32_cpu_offload", RUNTIME),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_reason() {
        let lists = [
            COMPRESSED_TENSORS,
            MODELOPT,
            BLOCK_FP8,
            GPTQ,
            AWQ,
            MLX,
            TORCHAO,
            HQQ,
            AQLM,
            VPTQ,
            FBGEMM,
            QUARK,
            MODULES,
            BITSANDBYTES,
        ];
        for list in lists {
            for (at, harmless) in list.iter().enumerate() {
                assert!(!harmless.because.is_empty(), "{}", harmless.name);
                let twice = list[..at].iter().any(|other| other.name == harmless.name);
                assert!(!twice, "{} stands twice", harmless.name);
            }
        }
    }
}
