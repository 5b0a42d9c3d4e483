# Photographs with mattes and people without a background, in the published lists (data/README.md).
# The pipeline begins with ComposeRGBA, which puts photographs behind the people of the second list.
train_dataset = dict(
    type='CombinedDataset',
    datasets=[
        dict(type='MattingDataset', data_root='{{$DATA_ROOT:data}}/matting', ann_file='train.json'),
        dict(type='MattingDataset', data_root='{{$DATA_ROOT:data}}/matting', ann_file='people.txt'),
    ],
)
val_dataset = dict(
    type='MattingDataset',
    data_root='{{$DATA_ROOT:data}}/matting',
    ann_file='val.json',
    test_mode=True,
)
metric = dict(type='MattingMetric')
