from sapiens.utils.counting import count_of


def test_one_and_several():
    assert count_of(1, 'image') == '1 image' and count_of(0, 'image') == '0 images'
    assert count_of(1, 'person', 'people') == '1 person' and count_of(1200, 'person', 'people') == '1,200 people'
