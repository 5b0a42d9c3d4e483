"""The filters that the paper of Sapiens describes for Humans-300M, in order of cost (section 3.1).

Of the paper are: text, watermarks, drawings and unnatural images are removed; a person has a score above 0.9 and a box of more
than 300 pixels. The other thresholds are ours: look at the report before you trust them.
"""

filters = dict(
    size=dict(type='MinSize', side=300, aspect=4.0),
    # A cheap guess by colors and edges. `imagetext` replaces it where there is a model.
    natural=dict(type='Natural', threshold=0.2),
    # dict(type='Function', function='my_package.my_module:my_function', least=0.5)
    function=None,
    duplicates=dict(type='Duplicates', distance=6),
    # Needs: python -m pip install --no-deps -r requirements/text.txt
    text=None,
    people=dict(type='People', detector='auto', score=0.9, side=300, view='any', batch_size=8),
    # dict(type='Faces', detector='my_package.my_module:my_function', side=80)
    faces=None,
    # dict(type='ImageText', model='FOLDER', wanted=['a photo of a person'], unwanted=['a drawing', 'a 3D rendering'])
    imagetext=None,
    # dict(type='Similar', model='CONFIG,CHECKPOINT', cosine=0.95)
    similar=None,
)
unit_size = 2000
max_megapixels = 150
