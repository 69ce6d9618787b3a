import numpy as np
import pytest
import tensorflow as tf

from tfrecon.data.example import decode_record, encode_record
from tfrecon.util.errors import InputError


@pytest.mark.parametrize("shape", [(2, 8, 6), (1, 7, 9), (3, 2, 8, 6)])
@pytest.mark.parametrize("reference", [None, np.float32, np.complex64])
def test_round_trip_is_exact(make_record, same, shape, reference):
    record = make_record(3, shape, maps=True, reference=reference, noise_std=0.25)
    record.kspace.flat[0] = np.complex64(complex(np.float32(1e-42), -0.0))  # a subnormal and a signed zero
    same(decode_record(encode_record(record)), record)


def test_round_trip_without_optional_parts(make_record, same):
    record = make_record()
    decoded = decode_record(encode_record(record))
    same(decoded, record)
    assert decoded.maps is None and decoded.noise_std is None


def test_map_sets_keep_their_axis(make_record):
    record = make_record(maps=True)
    record.maps = np.stack([record.maps, 2 * record.maps])
    assert decode_record(encode_record(record)).maps.shape == (2, 2, 8, 6)


def test_equal_records_give_equal_bytes(make_record):
    one, two = make_record(maps=True), make_record(maps=True)
    one.attrs, two.attrs = {"a": 1, "b": [2]}, {"b": [2], "a": 1}
    two.kspace = np.asfortranarray(two.kspace)
    assert encode_record(one) == encode_record(two)


def test_bytes_on_disk_are_documented_ones(make_record):
    record = make_record()
    features = tf.train.Example.FromString(encode_record(record)).features.feature
    assert list(features["kspace/shape"].int64_list.value) == [2, 8, 6]
    assert features["kspace"].bytes_list.value[0] == record.kspace.astype("<c8").tobytes()
    assert features["mask"].bytes_list.value[0] == record.mask.tobytes()
    assert features["schema_version"].int64_list.value[0] == 1
    assert "maps" not in features and "noise_std" not in features


def test_numpy_values_in_attrs_become_json(make_record):
    record = make_record(attrs={"affine": np.eye(2), "count": np.int64(3)})
    assert decode_record(encode_record(record)).attrs == {"affine": [[1, 0], [0, 1]], "count": 3}


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_attrs_that_are_not_json_are_refused(make_record, value):
    with pytest.raises(InputError, match=r"record 'v/000': attrs cannot be written"):
        encode_record(make_record(attrs={"x": value}))


def test_masks_that_are_not_binary_are_refused(make_record):
    record = make_record()
    record.mask = 2 * record.mask
    with pytest.raises(InputError, match="s1: key 'mask' holds values other than 0 and 1"):
        decode_record(encode_record(record), "s1")


def _changed(record, **features):
    example = tf.train.Example.FromString(encode_record(record))
    for key, feature in features.items():
        if feature is None:
            del example.features.feature[key]
        else:
            example.features.feature[key].CopyFrom(feature)
    return example.SerializeToString()


def test_foreign_examples_are_refused(make_record):
    record = make_record()
    with pytest.raises(InputError, match=r"here: is not a tf\.train\.Example"):
        decode_record(b"\xff\xff\xff", "here")
    with pytest.raises(InputError, match="is not a tfrecon record"):
        decode_record(b"")
    version = tf.train.Feature(int64_list=tf.train.Int64List(value=[9]))
    with pytest.raises(InputError, match="schema 9, this tfrecon reads 1"):
        decode_record(_changed(record, schema_version=version))
    with pytest.raises(InputError, match="lacks the key 'mask'"):
        decode_record(_changed(record, **{"mask": None, "mask/shape": None}))
    shape = tf.train.Feature(int64_list=tf.train.Int64List(value=[2, 8, 7]))
    with pytest.raises(InputError, match=r"'kspace' holds 96 values, not \(2, 8, 7\)"):
        decode_record(_changed(record, **{"kspace/shape": shape}))
    name = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"float16"]))
    with pytest.raises(InputError, match="'reference' is of type 'float16'"):
        decode_record(_changed(make_record(reference=np.complex64), **{"reference/dtype": name}))
