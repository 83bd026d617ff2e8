import numpy as np
import pytest
from scipy import stats

from salzarr.statistics.wilcoxon import wilcoxon_test


def test_wilcoxon_is_scipys():
    rng = np.random.default_rng(7)
    differences = rng.normal(0.3, 1, (9, 120))
    differences[0, 35:] = differences[1, 29:] = differences[2, 8:] = differences[3, 50:] = np.nan  # exact
    differences[4, 60:] = np.nan  # too many to be exact
    differences[5] = differences[5].round()  # ties and zeros
    differences[6, 20:] = np.nan
    differences[6] = differences[6].round(1)
    differences[7] = 0
    differences[8] = np.nan
    found = wilcoxon_test(differences)
    for row, p in zip(differences[:7], found, strict=False):
        assert p == pytest.approx(stats.wilcoxon(row[~np.isnan(row)]).pvalue, rel=1e-12)
    assert found[7] == 1
    assert np.isnan(found[8])
    alone = [wilcoxon_test(row[None])[0] for row in differences]
    np.testing.assert_array_equal(found, alone)
