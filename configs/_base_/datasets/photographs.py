# What photographs have and renderings lack, for the weights of the package (docs/weights.md): other backgrounds, things and
# people before and behind people, and what cameras do to pictures. Photographs without people lie in
# $DATA_ROOT/backgrounds/train, rendered people with alpha in $DATA_ROOT/synthetic/train. Photographs with annotated people
# (docs/weights.md) are mixed with the rendered ones of pose and boxes where $PHOTOGRAPHS names their folder.
_people_photographs = '{{$PHOTOGRAPHS:none}}'
_photographs = '{{$DATA_ROOT:data}}/backgrounds/train'
_mixing = [
    dict(
        type='RandomBackground',
        root=_photographs,
        prob=0.7,
        color_transfer=0.3,
        random_part=True,
        inside_only=0.4,
        memory=320,
        optional=_people_photographs != 'none',
    ),
    dict(type='PasteObjects', root=_photographs, prob=0.3),
]
_other_people = dict(type='PastePeople', root='{{$DATA_ROOT:data}}/synthetic/train', prob=0.3)
_camera_faults = [
    dict(type='RandomGrayscale', prob=0.1),
    dict(type='ToneCurve', prob=0.5),
    dict(type='Defocus', prob=0.2),
    dict(type='MotionBlur', prob=0.1),
    dict(type='LowerResolution', scale=(0.3, 0.9), prob=0.2),
    dict(type='SensorNoise', prob=0.3),
    dict(type='JPEGCompression', quality=(30, 90), prob=0.4),
]
