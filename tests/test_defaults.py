"""Values of options that a config or a call leaves out.

Saved configs, scripts and published figures rely on them: a wanted change belongs in CHANGELOG.md.
"""

import importlib
import inspect
import re

import pytest

DEFAULTS = """
apis.batch_job.Plan subfolders=False figure=False workers=2
apis.batch_job.run_plan devices=('auto',) jobs=1
apis.batch_run.BatchRun devices=('auto',) jobs=1 overwrite=False coco=True csv=False
apis.detectors.base.suppress border=1
apis.export.export_model.export_model overwrite=False
apis.export.options.ExportOptions dynamic_batch=False decode=False int8=False dynamic_size=False
apis.huggingface.ImageProcessor size=(1024,768) do_pad=False heatmap_sigma=6.0
apis.inputs.read_pixels max_megapixels=150
apis.loading.build.build_model partial=False
apis.loading.build.load_encoder out_indices=-1
apis.loading.load_model.load_model batch_size=8 compile=False heatmaps=False processing='published'
apis.masks.Masking by=None classes=()
apis.output_dir.write_combined coco=True csv=False
apis.pipeline.run workers=2
apis.predictors.PersonPredictor tiles=1
apis.predictors.base.Predictor batch_size=8 compile=False
apis.predictors.base.Predictor.stream workers=2
apis.predictors.features.extract_features batch_size=8 num_workers=2
apis.predictors.pointmap.PointmapPredictor rays='predicted'
apis.predictors.pose.PosePredictor heatmaps=False
apis.results.depth.DepthResult relative=True
apis.results.depth.DepthResult.normals relief=2048.0
apis.results.depth.DepthResult.points fov=50.0 distance=2.0 extent=0.5
apis.results.image_results.ImageResults.draw side=1024
apis.results.saving.Saving light='srgb' colors='predicted' palette='distinct' legend=True
  fov=50.0 distance=2.0 extent=0.5
apis.results.saving.Saving threshold=0.3 show_boxes=False show_indices=False opacity=0.5 over='green'
apis.results.seg.SegResult.draw opacity=0.5 legend=False
apis.video.tracking.OneEuroFilter min_cutoff=1.0 beta=5.0 speed_cutoff=1.0
apis.video.tracking.Tracker smooth=False min_overlap=0.3 memory=2.0 min_colors=0.6 min_cutoff=1.0 beta=5.0
apis.video.video_job.VideoOptions track=False smooth=False min_cutoff=1.0 beta=5.0 side_by_side=False
checkpoints.load.load_weights min_share=0.5
coco.people.read_people keep=False
datasets.MosaicDataset share=0.5 size=(512,512) min_visible=0.25
datasets.PersonBoxDataset keep_empty=True
datasets.checks.Findings.add wrong=True
datasets.depth_normal.GeometryDataset fields=('depth',) part=(0.0,1.0) partial=False test_mode=False
datasets.instances.annotated_instances min_keypoints=1 for_evaluation=False
datasets.keypoints.KeypointDataset score_thr=0.0 min_keypoints=1 test_mode=False
datasets.paired_folders.PairedFolders part=(0.0,1.0) partial=False test_mode=False
datasets.samplers.ResumableSampler shuffle=True repeat=1 round_up=True
datasets.segmentation.SegmentationDataset unlabeled=0
datasets.shard_order.ShardOrder shuffle=True
datasets.shard_order.ShardSampler shuffle=True
datasets.synthetic_humans.SyntheticHumans size=(768,1024) people=(1,4) seed=0 fixed=True labels=True per_person=False
    test_mode=False
datasets.tar_shards.TarShards canonical_nodes=64 interleave=4 timeout=30
datasets.transforms.PackBoxes min_size=8.0 min_visible=0.25 max_people=64
datasets.transforms.background.RandomBackground prob=0.5 color_transfer=1.0 ignored=True max_megapixels=150
datasets.transforms.decoding.EncodedImage max_megapixels=150
datasets.transforms.degradation.GaussianBlur sigma=(0.1,2.0) prob=0.3
datasets.transforms.degradation.GaussianNoise variance=(5.0,20.0) prob=0.3
datasets.transforms.degradation.JPEGCompression quality=(30,60) prob=0.5
datasets.transforms.degradation.LowerResolution scale=(0.1,0.7) prob=0.2
datasets.transforms.degradation.Solarize threshold=128 prob=0.3
datasets.transforms.dense.LoadDense antialias=True max_megapixels=150
datasets.transforms.loading.LoadLetterbox antialias=True max_megapixels=150
datasets.transforms.loading.LoadRandomResizedCrop area=(0.2,1.0) aspect=(0.75,1.3333333333333333) flip_prob=0.5
    max_megapixels=150
datasets.transforms.loading.LoadResize antialias=True max_megapixels=150 keep_ratio=False
datasets.transforms.loading.open_image max_megapixels=150
datasets.transforms.occlusion.CoarseDropout height=(0.2,0.4) width=(0.2,0.4) prob=1.0 fill=0
datasets.transforms.photometric.PhotometricDistortion brightness_delta=32 contrast_range=(0.5,1.5) saturation_range=(0.5,1.5)
    hue_delta=18 permute=True published=False
datasets.transforms.photometric.RandomBlur mean_prob=0.1 median_prob=0.1 sizes=(3,5,7) exact=False
datasets.transforms.random_geometry.RandomAreaCrop area=(0.4,1.0) aspect=(0.5,2.0) prob=0.3 tries=8
datasets.transforms.random_geometry.RandomCrop cat_max_ratio=1.0
datasets.transforms.random_geometry.RandomFlip prob=0.5
datasets.transforms.random_geometry.RandomResize keep_ratio=True
datasets.transforms.random_geometry.RandomRotate prob=0.5 seg_padding=255
datasets.transforms.random_geometry.Resize keep_ratio=False
datasets.transforms.random_geometry.ScaleJitter ratio=(0.5,2.0) aspect=1.0
datasets.transforms.sampling.transform_sample exact=True antialias=True max_megapixels=150
datasets.transforms.topdown.LoadPerson flip_prob=0.0 min_visible=0 max_megapixels=150
datasets.transforms.view.View padding=255
datasets.transforms.view.sample_labels stride=1
datasets.transforms.view.visible_box margin=0
datasets.transforms.view.zoom_matrix left=0 top=0
engine.checkpoint_io.load_training_state verify=True
engine.hooks.bad_data.BadDataHook max_share=0.01 min_samples=100 interval=10 max_logged=20
engine.hooks.data_check.DataCheckHook num_batches=5
engine.hooks.dense_drawings.DenseDrawing side=384
engine.hooks.dense_drawings.DepthDrawing side=384
engine.hooks.dense_drawings.MapDrawings side=384
engine.hooks.dense_drawings.NormalDrawing side=384
engine.hooks.dense_drawings.SegDrawing side=384 palette='distinct'
engine.hooks.early_stopping.EarlyStoppingHook min_delta=0.0
engine.hooks.test_figures.dense.DenseShowHook side=640 palette='distinct'
engine.hooks.test_figures.pose.PoseShowHook threshold=0.3 box_threshold=0.3 heatmaps=False palette='distinct' side=960
engine.hooks.training_figures.base.TrainingFigureHook interval=100 num_images=8
engine.hooks.training_figures.dense.DenseFigureHook interval=100 num_images=4 side=384
engine.hooks.training_figures.pose.PosePictureHook interval=100 num_images=8 threshold=0.1 heatmaps=True side=384
engine.hooks.training_figures.pose.PosePictureHook palette='distinct'
engine.loops.TrainLoop val_begin=1 val_interval=1
engine.mmengine_loops.EpochBasedTrainLoop val_begin=1 val_interval=1
engine.mmengine_loops.IterBasedTrainLoop val_begin=1 val_interval=1000
engine.optim.optim_wrapper.OptimWrapper accumulative_counts=1 max_skipped_in_a_row=10
engine.optim.param_groups.make_param_groups no_decay_1d=False
engine.run_state.collect_state schedules=True
engine.runner.Runner.build_dataloader diff_rank_seed=False
engine.runner.Runner.save_checkpoint save_optimizer=True save_param_scheduler=True by_epoch=True
evaluation.BoxMetric score_threshold=0.3
evaluation.albedo.AlbedoMetric encoding='srgb' average='image'
evaluation.depth.DepthMetric min_depth=0.001
evaluation.keypoints.KeypointMetric keypoint_score_thr=0.2 nms_thr=0.9 use_area=True
evaluation.matting.MattingMetric band=0.01 mask_dir=None
evaluation.pointmap.PointmapMetric average='pixel'
frames.to_published dim=-1
metainfo.openpose.openpose_skeleton whole=False
metainfo.openpose.to_openpose threshold=0.3
metainfo.parsing.numbers_of zero=False
models.CenterBoxes alpha=0.54
models.CenterFocalLoss gamma=2.0 beta=4.0
models.CenterHead reduced_channels=96 deconv_channels=(48,48) conv_channels=(48,) prior=0.01
models.backbones.interface.Encoder out_indices=-1 final_norm=True frozen_stages=-1
models.backbones.sapiens_v1.SapiensViT img_size=1024 patch_size=16 patch_padding=0 with_cls_token=False drop_path_rate=0.0
models.backbones.sapiens_v2.Sapiens2ViT img_size=(1024,768) patch_size=16 tokenizer=False window_chunk=1024 drop_path_rate=0.0
models.codecs.udp_heatmap.UDPHeatmap sigma=6.0 blur_kernel_size=11
models.data_preprocessor.ImageNormalizer mean=(123.675,116.28,103.53) std=(58.395,57.12,57.375) bgr_to_rgb=False
    non_blocking=True
models.estimators.dense.DenseEstimator loss_stride=1
models.estimators.dense_tasks.DepthTask relative=True
models.heads.deconv.DeconvHead init_deconvs=True
models.heads.dense.DenseHead deconv_channels=(768,768,768) conv_channels=(768,768,768) dropout=0.1
models.heads.heatmap.HeatmapHead deconv_channels=(768,768) conv_channels=(768,768)
models.layers.gated_transformer.GroupedAttention qk_norm=True layer_scale=True
models.layers.pos_embed.resize_grid num_extra=0
models.layers.pos_embed.sincos_2d num_extra=0
models.layers.rotary.RotaryPositions base=100.0
models.layers.transformer.init_transformer mlp_bias_std=0.0
models.layers.unit_vectors.unit_vectors eps=1e-12
models.losses.base.DenseLoss loss_weight=1.0
models.losses.depth.DepthGradientLoss num_scales=4 invariant=False
models.losses.depth.SiLogLoss published=False invariance=0.5
models.losses.heatmap.HeatmapCrossEntropyLoss loss_weight=1.0
models.losses.heatmap.HeatmapMSELoss loss_weight=1.0
models.losses.segmentation.SegDiceLoss smooth=0.001 background=0
models.mae.MAE mask_ratio=0.95 mask_block_size=1 norm_pix=True decode_share=1.0
models.mae.MAEDecoder num_layers=8 embed_dims=512 num_heads=16 mlp_ratio=4.0
tasks.MapField padding=0 own_validity=False
tasks.TaskSpec masked_by_people=False
tasks.target_fields masked_by_people=False
tasks.task_names inference=False
utils.checkpoint.loading.load_state min_share=0.5
utils.checkpoint.writing.save_weights flat=False
utils.crop.crop_matrix flip=False
utils.files.atomic_path sync=True keep_suffix=False
utils.files.move_into_place sync=True
utils.files.temporary_path keep_suffix=False
utils.files.write_atomically sync=True
visualization.boxes.draw_boxes threshold=0.0
visualization.curves.draw_curves width=4.5
visualization.curves.read_curves minutes=False
visualization.depth.draw_depth_panel side=384
visualization.labels.draw_boxes colors=(255,255,255) thickness=2
visualization.labels.draw_depth background=100
visualization.labels.draw_keypoints radius=3 thickness=1 palette='distinct'
visualization.labels.draw_normals background=100
visualization.labels.draw_segmentation alpha=0.6
visualization.layout.contact_sheet columns=6 gap=4
visualization.layout.fit nearest=False
visualization.layout.join gap=4
visualization.mae.draw_reconstructions side=384 first='original'
visualization.map_panel.draw_map_panel side=384
visualization.normal.draw_normal_panel side=384 limit=60
visualization.openpose.draw_openpose threshold=0.3 opacity=0.8
visualization.people.draw_part threshold=0.3 side=512
visualization.people.draw_people threshold=0.3 show_boxes=False show_indices=False palette='distinct'
visualization.pose.draw_heatmaps threshold=0.3 limit=1.0 palette='distinct'
visualization.pose.draw_pose threshold=0.3 box_color=(255,255,255) palette='distinct'
visualization.pose_panel.draw_pose_panel threshold=0.3 side=384 palette='distinct'
visualization.segmentation.draw_seg_panel side=384 alpha=0.6 palette='distinct'
"""


@pytest.mark.parametrize(
    ('name', 'expected'), [re.split(r'\s+', entry, maxsplit=1) for entry in re.split(r'\n(?! )', DEFAULTS.strip())]
)
def test_defaults(name, expected):
    parts = name.split('.')
    length = next(i for i, part in enumerate(parts) if part[0].isupper()) if name != name.lower() else len(parts) - 1
    called = importlib.import_module('.'.join(['sapiens', *parts[:length]]))
    for part in parts[length:]:
        called = getattr(called, part)
    defaults = {name: one.default for name, one in inspect.signature(called).parameters.items()}
    given = [f'{name}={value!r}'.replace(' ', '') for name, value in defaults.items()]
    assert [one for one in expected.split() if one not in given] == []
