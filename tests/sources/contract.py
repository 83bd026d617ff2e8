"""What every source of maps must do: one class of tests, with one subclass per format."""

import pickle

import numpy as np
import pytest

from salzarr.errors import InputError

IMAGES = ("a", "b", "c", "d")


def four_maps(dtype=np.float32):
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind in "ui":
        return rng.integers(0, 200, (4, 6, 8)).astype(dtype)
    return rng.random((4, 6, 8)).astype(dtype)


class SourceContract:
    """Subclass it, and give ``make(folder, maps)``; more attributes say what the format cannot do."""

    dtype = np.float32
    named = True
    has_file = True

    def make(self, folder, maps):
        """Write four maps, called a, b, c and d, and return their source."""
        raise NotImplementedError

    def beside(self, folder, maps):
        """Write the maps with logits and labels beside them, and return their source, or None."""

    def turned(self, folder, maps):
        """Write the maps with their axes in another order, by name, and return their source, or None."""

    def masked(self, folder, maps, hidden):
        """Write the maps with some values masked, and return their source; None if there are no masks."""

    def file(self, folder):
        """Return the file that holds the first map."""
        return next(path for path in sorted(folder.rglob("*")) if path.is_file())

    @pytest.fixture
    def maps(self):
        return four_maps(self.dtype)

    @pytest.fixture
    def source(self, tmp_path, maps):
        return self.make(tmp_path, maps)

    def test_ids_are_the_names(self, source):
        assert source.ids == (IMAGES if self.named else ("0000", "0001", "0002", "0003"))
        assert source.named is self.named

    def test_reads_all_maps_as_they_are(self, source, maps):
        read = list(source.read())
        assert len(read) == 4
        for values, expected in zip(read, maps, strict=True):
            np.testing.assert_array_equal(np.squeeze(values), expected)

    def test_shapes_come_without_reading(self, source):
        assert [tuple(n for n in shape if n > 1) for shape in source.shapes()] == [(6, 8)] * 4

    def test_select_keeps_the_order_given(self, source, maps):
        part = source.select([2, 0])
        assert part.ids == (source.ids[2], source.ids[0])
        for values, expected in zip(part.read(), maps[[2, 0]], strict=True):
            np.testing.assert_array_equal(np.squeeze(values), expected)
        assert len(part.origins()) == len(part.stamps()) == len(part.shapes()) == 2

    def test_select_of_a_selection(self, source, maps):
        part = source.select([3, 1, 2]).select([1, 2])
        assert part.ids == source.ids[1:3]
        for values, expected in zip(part.read(), maps[1:3], strict=True):
            np.testing.assert_array_equal(np.squeeze(values), expected)

    def test_a_part_travels_and_is_small(self, source, maps):
        data = pickle.dumps(source.select([1]))
        if self.has_file:
            assert len(data) < 1500
        [values] = pickle.loads(data).read()
        np.testing.assert_array_equal(np.squeeze(values), maps[1])

    def test_origins_name_each_map(self, source, tmp_path):
        origins = source.origins()
        assert len(set(origins)) == 4
        if self.has_file:
            assert all(str(tmp_path) in origin for origin in origins)

    def test_stamps_change_with_the_file(self, source, tmp_path):
        if not self.has_file:
            assert {tuple(stamp) for stamp in source.stamps()} == {(-1, -1)}
            return
        before = source.stamps()[0]
        path = self.file(tmp_path)
        path.write_bytes(path.read_bytes() + b"x")
        assert source.stamps()[0] != before

    def test_a_truncated_file_is_an_error_that_names_it(self, source, tmp_path):
        if not self.has_file:
            pytest.skip("nothing to truncate")
        path = self.file(tmp_path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match=r".*" + path.name):
            list(source.read())

    def test_a_file_that_is_gone_is_an_error_that_names_it(self, source, tmp_path):
        if not self.has_file:
            pytest.skip("nothing to lose")
        path = self.file(tmp_path)
        path.unlink()
        with pytest.raises(InputError, match=path.name):
            list(source.read())
        if path.suffix != ".json":
            with pytest.raises(InputError, match=path.name):
                source.stamps()

    def test_arrays_beside_the_maps_are_set_aside(self, maps, tmp_path):
        source = self.beside(tmp_path, maps)
        if source is None:
            pytest.skip("one array in a file")
        np.testing.assert_array_equal([np.squeeze(values) for values in source.read()], maps)

    def test_axes_are_known_by_name(self, maps, tmp_path):
        source = self.turned(tmp_path, maps)
        if source is None:
            pytest.skip("no names of axes")
        assert {tuple(shape) for shape in source.shapes()} == {(6, 8)}
        np.testing.assert_array_equal(list(source.read()), maps)
        part = source.select([3, 1])
        np.testing.assert_array_equal(list(part.read()), maps[[3, 1]])

    def test_what_a_mask_hides_is_nan(self, maps, tmp_path):
        hidden = np.zeros(maps.shape, bool)
        hidden[:, 0, 2:] = True
        source = self.masked(tmp_path, maps, hidden)
        if source is None:
            pytest.skip("no masks")
        np.testing.assert_array_equal(list(source.read()), np.where(hidden, np.nan, maps))
