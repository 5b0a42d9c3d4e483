"""The tasks of the package, in the order in which commands list them."""

from .fields import MapField
from .lookup import register_task
from .spec import Output, PublishedHead, TaskSpec

__all__ = []

_MAP_FILES = ('.npy', '.npz', '.png', '.exr', '.tif', '.tiff')

register_task(
    TaskSpec(
        name='mae',
        description='a masked autoencoder',
        title='Features of the encoder',
        inference='features',
        raw_outputs=(Output('features', '(B, C, h, w) float32 feature map of the last block'),),
        predictor='sapiens.apis.predictors:FeaturePredictor',
        result='sapiens.apis.results:FeatureResult',
        metric='ReconstructionLoss',
    )
)
register_task(
    TaskSpec(
        name='pose',
        description='pose',
        title='Pose (keypoints)',
        published=PublishedHead('head', (768, 768), (768, 768), 'final_layer', (17, 133, 308)),
        raw_outputs=(Output('heatmaps', '(B, K, h, w) float32, one map for each keypoint'),),
        decoded_outputs=(
            Output(
                'keypoints',
                '(B, K, 2) float32 x, y in pixels of the crop: x / W and y / H are fractions of its width and height, so a point '
                'of the image is left + x / W * width, top + y / H * height of the box. Negative where a map has nothing above 0',
            ),
            Output('scores', '(B, K) float32, the value of the map there'),
        ),
        predictor='sapiens.apis.predictors:PosePredictor',
        result='sapiens.apis.results:PoseResult',
        metric='KeypointMetric',
        statistics='sapiens.datasets.statistics:KeypointStatistics',
        drawing='sapiens.engine.hooks.test_figures.pose:PoseShowHook',
        counted='keypoints',
        own_data='sapiens.own_data.pose:OWN_DATA',
    )
)
register_task(
    TaskSpec(
        name='seg',
        description='segmentation',
        title='Body parts',
        fields=(
            MapField(
                'sem_seg', kind='labels', about='int64 class ids; 255 is ignored', padding=255, swap='flip_table',
                folders=('seg', 'labels'), suffixes=('.png', '.tif', '.tiff', '.bmp'),
                reader='sapiens.datasets.transforms.label_files:load_sem_seg',
                known='sapiens.datasets.transforms.label_files:known_label',
            ),
        ),
        published=PublishedHead('decode_head', (768,) * 3, (768,) * 3, 'conv_seg', (28, 20, 19, 2)),
        raw_outputs=(Output('logits', '(B, K, h, w) float32, one score for each class'),),
        decoded_outputs=(Output('labels', '(B, H, W) uint8 class ids'),),
        result='sapiens.apis.results:SegResult',
        metric='SegMetric',
        drawing='sapiens.engine.hooks.dense_drawings:SegDrawing',
        gives_mask='foreground',
        counted='classes',
        own_data='sapiens.own_data.seg:OWN_DATA',
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='depth',
        description='depth',
        title='Depth',
        fields=(
            MapField(
                'depth', 1, about='float32 meters along z', folders=('depth', 'depths'), suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.label_files:load_depth',
                known='sapiens.datasets.transforms.label_files:known_depth',
                doubt='sapiens.datasets.statistics:far_depth',
            ),
        ),
        published=PublishedHead('decode_head', (384,) * 4, (384,) * 2, 'conv_seg', (1,)),
        raw_outputs=(Output('raw_depth', "(B, 1, h, w) float32, the head's output"),),
        decoded_outputs=(Output('depth', '(B, 1, H, W) float32, {unit}'),),
        result='sapiens.apis.results:DepthResult',
        metric='DepthMetric',
        drawing='sapiens.engine.hooks.dense_drawings:DepthDrawing',
        masked_by_people=True,
        own_data='sapiens.own_data.geometry:DEPTH_DATA',
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='normal',
        description='surface normals',
        title='Surface normals',
        fields=(
            MapField(
                'normal', 3, 'unit_vectors', 'float32 unit vectors in the camera frame (x right, y down, z forward)',
                folders=('normal', 'normals'), suffixes=_MAP_FILES, reader='sapiens.datasets.transforms.label_files:load_normal',
                known='sapiens.datasets.transforms.label_files:known_normal',
            ),
        ),
        published=PublishedHead('decode_head', (768,) * 3, (768,) * 3, 'conv_seg', (3,)),
        raw_outputs=(Output('raw_normals', '(B, 3, h, w) float32, not of length 1; x right, y up, z towards the camera'),),
        decoded_outputs=(Output('normals', '(B, 3, H, W) float32 unit vectors; x right, y down, z forward'),),
        result='sapiens.apis.results:NormalResult',
        metric='NormalMetric',
        drawing='sapiens.engine.hooks.dense_drawings:NormalDrawing',
        masked_by_people=True,
        own_data='sapiens.own_data.geometry:NORMAL_DATA',
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='pointmap',
        description='points in the camera frame',
        title='3D points in meters',
        fields=(
            MapField(
                'pointmap',
                3,
                'vectors',
                'float32 meters in the camera frame (x right, y down, z forward)',
                interpolation='linear',
                on_rays=True,
                folders=('depth', 'depths'),
                suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.camera:load_pointmap',
                known='sapiens.datasets.transforms.camera:known_points',
                doubt='sapiens.datasets.doubts:far_points',
            ),
        ),
        raw_outputs=(
            Output(
                'raw_pointmap',
                "(B, 3, h, w) float32 points of a camera with the canonical focal length, the input's width",
            ),
            Output('raw_scale', '(B,) float32, canonical points = meters * scale'),
        ),
        decoded_outputs=(
            Output('pointmap', '(B, 3, H, W) float32 meters in the camera frame (x right, y down, z forward)'),
            Output(
                'scale', "(B,) float32 above 0: the input's width / scale is the focal length in pixels of the input"
            ),
        ),
        predictor='sapiens.apis.predictors:PointmapPredictor',
        result='sapiens.apis.results:PointmapResult',
        metric='PointmapMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:PointmapDrawing',
        masked_by_people=True,
    )
)
register_task(
    TaskSpec(
        name='matting',
        description='matting',
        title='Cut-out (matting)',
        fields=(
            MapField(
                'alpha',
                1,
                about='float32 in [0, 1], fraction of the pixel that people cover',
                interpolation='image',
                known_outside=True,
                folders=('alpha', 'alphas'),
                suffixes=('.png', '.tif', '.tiff', '.npy', '.npz'),
                reader='sapiens.datasets.transforms.color_files:read_alpha',
                doubt='sapiens.datasets.doubts:extreme_alpha',
            ),
            MapField(
                'foreground',
                3,
                about='float32 in [0, 1], sRGB-coded RGB of people times alpha',
                interpolation='image',
                own_validity=True,
                known_outside=True,
                folders=('foreground', 'foregrounds'),
                suffixes=('.png', '.tif', '.tiff'),
                reader='sapiens.datasets.transforms.color_files:load_foreground',
            ),
        ),
        raw_outputs=(
            Output('raw_foreground', '(B, 3, h, w) float32 in [0, 1], sRGB-coded RGB times alpha'),
            Output('raw_alpha', '(B, 1, h, w) float32 in [0, 1]'),
        ),
        decoded_outputs=(
            Output('alpha', '(B, 1, H, W) float32 in [0, 1], fraction of the pixel that people cover'),
            Output('foreground', '(B, 3, H, W) float32 in [0, 1], sRGB-coded RGB times alpha'),
        ),
        result='sapiens.apis.results:MattingResult',
        metric='MattingMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:MattingDrawing',
        gives_mask='person',
    )
)
register_task(
    TaskSpec(
        name='albedo',
        description='albedo',
        title='Albedo (color without light)',
        fields=(
            MapField(
                'albedo', 3, about='float32 in [0, 1], linear RGB; predictions in the coding of the task', interpolation='image',
                folders=('albedo', 'albedos'), suffixes=_MAP_FILES,
                reader='sapiens.datasets.transforms.color_files:load_albedo', doubt='sapiens.datasets.doubts:dark_albedo',
            ),
        ),
        raw_outputs=(Output('raw_albedo', "(B, 3, h, w) float32, the head's output, {coding}"),),
        decoded_outputs=(Output('albedo', '(B, 3, H, W) float32 in [0, 1], {coding}'),),
        result='sapiens.apis.results:AlbedoResult',
        metric='AlbedoMetric',
        drawing='sapiens.engine.hooks.sapiens2_drawings:AlbedoDrawing',
        masked_by_people=True,
    )
)  # fmt: skip
register_task(
    TaskSpec(
        name='person',
        description='detection of people',
        title='People (boxes)',
        raw_outputs=(
            Output(
                'raw_boxes',
                '(B, 5, h, w) float32: the logit of the center of a person in this cell, and the logarithms of the distances '
                'from the middle of the cell to the left, upper, right and lower edge of the box, in cells',
            ),
        ),
        decoded_outputs=(
            Output('boxes', '(B, N, 4) float32 x1, y1, x2, y2 in pixels of the input, best first'),
            Output('scores', '(B, N) float32 in [0, 1]; rows without a person have 0'),
        ),
        predictor='sapiens.apis.predictors:PersonPredictor',
        result='sapiens.apis.results:PersonResult',
        metric='BoxMetric',
        statistics='sapiens.datasets.statistics:BoxStatistics',
        drawing='sapiens.engine.hooks.test_figures.boxes:BoxShowHook',
    )
)
