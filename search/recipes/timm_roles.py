"""Tables of the arguments of timm's ``train.py`` that do not correspond to a recipe key.

Each key of the script is read by `search.recipes.timm_import` or is in one of these tables, which a
test compares with the list of all keys.
"""

from search.recipes.timm_keys import TRAIN_DEFAULTS

Off = dict[str, tuple[object, ...]]
"""By key, the values that switch it off."""

# The data, which are given by flags here.
_DATA = (
    "data data_dir dataset train_split val_split train_num_samples val_num_samples "
    "dataset_download class_map input_key target_key dataset_trust_remote_code num_classes"
)
# Speed and memory, and several devices: a recipe is trained on one.
_MACHINE = (
    "channels_last fuser grad_checkpointing fast_norm torchcompile_mode torchscript device "
    "no_ddp_bb synchronize_step local_rank device_modules sync_bn dist_bn model_ema_force_cpu "
    "workers worker_seeding pin_mem no_prefetcher use_multi_epochs_loader validation_batch_size "
    "amp_impl aot_autograd num_gpu initial_batch_size validation_batch_size_multiplier"
)
# Measurements and output.
_OUTPUT = (
    "log_interval val_interval recovery_interval checkpoint_hist save_images output experiment "
    "eval_metric log_wandb wandb_project wandb_tags wandb_resume_id"
)
WITHOUT_EFFECT = frozenset(f"{_DATA} {_MACHINE} {_OUTPUT}".split())
"""Keys that do not influence the trained weights."""

ALWAYS: Off = {
    "aug_repeats": (0,),
    "aug_splits": (0,),
    "bce_loss": (False,),
    "bn_eps": (None,),
    "bn_momentum": (None,),
    "bn_tf": (None, False),
    "crop_pct": (None, 1),
    "cutmix_minmax": (None,),
    "drop_block": (None, 0),
    "epoch_repeats": (0,),
    "gp": (None, ""),
    "head_init_bias": (None,),
    "head_init_scale": (None,),
    "input_img_mode": (None, "", "RGB"),
    "jsd": (None, False),
    "jsd_loss": (False,),
    "kd_model_name": (None,),
    "lr_noise": (None,),
    "mean": (None,),
    "model_dtype": (None, "float32"),
    "model_kwargs": (None, {}),
    "naflex_loader": (False,),
    "opt_betas": (None,),
    "opt_eps": (None,),
    "resume": (None, ""),
    "split_bn": (False,),
    "start_epoch": (None, 0),
    "std": (None,),
    "train_batches_per_epoch": (None,),
    "train_img_sizes": (None,),
    "tta": (0, 1),
}
"""Keys without counterpart in a recipe, independent of other keys."""

WITH_AUGMENTATION: Off = {
    "gaussian_blur_prob": (None, 0),
    "grayscale_prob": (None, 0),
    "train_crop_mode": (None, "", "rrc"),
    "vflip": (0,),
}
"""Keys without counterpart in a recipe that count unless ``no_aug`` is set."""

_DEPENDENT = {
    "aug_splits": "resplit",
    "bce_loss": "bce_pos_weight bce_sum bce_target_thresh",
    "clip_grad": "clip_mode",
    "color_jitter": "color_jitter_prob",
    "cosine": "lr_k_decay",
    "crops": "ratio",
    "kd_model_name": "distill_loss_weight kd_distill_type kd_loss_type kd_student_feature_dim "
    "kd_teacher_feature_dim kd_temperature kd_token_distill_type task_loss_weight",
    "layer_decay": "layer_decay_min_scale layer_decay_no_opt_scale",
    "lr_noise": "lr_noise_pct lr_noise_std",
    "mixing": "mixup_off_epoch mixup_prob mixup_switch_prob",
    "naflex_loader": "naflex_loss_scale naflex_max_seq_len naflex_patch_size_probs "
    "naflex_patch_sizes naflex_patchify_channels_first naflex_train_seq_lens",
    "plateau": "patience_epochs",
    "reprob": "recount",
    "restarts": "lr_cycle_decay lr_cycle_mul",
    "resume": "no_resume_opt",
    "train_img_sizes": "train_batch_sizes train_size_probs train_size_random_mix "
    "train_size_schedule train_size_schedule_spread variable_batch_loss_scale",
}
DEPENDENT: dict[str, Off] = {
    switch: {key: (None, TRAIN_DEFAULTS[key]) for key in keys.split()}
    for switch, keys in _DEPENDENT.items()
}
"""By switch, the keys that count only if it is on, with their defaults as the values for off."""

DONE_OTHERWISE: dict[str, tuple[object, str]] = {
    "interpolation": ("bilinear", "images are resized bilinearly"),
    "train_interpolation": ("bilinear", "crops are resized bilinearly"),
    "remode": ("const", "an erased patch gets the mean color"),
    "mixup_mode": ("elem", "every image of a batch is mixed with a share of its own"),
    "mixup_elem": (True, "every image of a batch is mixed with a share of its own"),
    "warmup_lr": (None, "a warmup of W steps starts at the peak / (W + 1)"),
}
"""Keys for which this project has one behaviour: the value for it, and its description."""

ROLES = frozenset(
    {*ALWAYS, *WITH_AUGMENTATION, *DONE_OTHERWISE, *WITHOUT_EFFECT, "color_jitter", "momentum"}
    | {key for keys in DEPENDENT.values() for key in keys}
)
"""All keys in the tables of this module."""
