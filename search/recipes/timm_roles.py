"""What becomes of each argument of timm's ``train.py`` that no recipe key is read from.

Each key of the script is read by `search.recipes.timm_import`, or stands in one of these tables: a
test holds them against the list of all keys.
"""

from search.recipes.timm_keys import TRAIN_DEFAULTS

Off = dict[str, tuple[object, ...]]
"""By key: the values at which it changes nothing."""

# What is trained on is said by flags here.
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
# What is measured and written.
_OUTPUT = (
    "log_interval val_interval recovery_interval checkpoint_hist save_images output experiment "
    "eval_metric log_wandb wandb_project wandb_tags wandb_resume_id"
)
WITHOUT_EFFECT = frozenset(f"{_DATA} {_MACHINE} {_OUTPUT}".split())
"""Keys that say nothing about how weights come from images."""

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
"""Keys that a recipe has no counterpart for, whatever else a file says."""

WITH_AUGMENTATION: Off = {
    "gaussian_blur_prob": (None, 0),
    "grayscale_prob": (None, 0),
    "train_crop_mode": (None, "", "rrc"),
    "vflip": (0,),
}
"""The same, unless ``no_aug`` switches all augmentation off."""

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
"""By what has to be on: the keys that count only then, off at the defaults of the script."""

DONE_OTHERWISE: dict[str, tuple[object, str]] = {
    "interpolation": ("bilinear", "images are resized bilinearly"),
    "train_interpolation": ("bilinear", "crops are resized bilinearly"),
    "remode": ("const", "an erased patch gets the mean color"),
    "mixup_mode": ("elem", "every image of a batch is mixed with a share of its own"),
    "mixup_elem": (True, "every image of a batch is mixed with a share of its own"),
    "warmup_lr": (None, "a warmup of W steps starts at the peak / (W + 1)"),
}
"""Keys for which there is one way here: the value that means it, and what it is."""

ROLES = frozenset(
    {*ALWAYS, *WITH_AUGMENTATION, *DONE_OTHERWISE, *WITHOUT_EFFECT, "color_jitter", "momentum"}
    | {key for keys in DEPENDENT.values() for key in keys}
)
"""Every key that has a place in this module."""
