"""One small demo data set for all tests that only read it."""

import pytest

from mmanchor.demo.scenes import DemoData, make_demo_data

SMALL = dict(num_train=48, num_val=24, size=(96, 112), progress=False)


@pytest.fixture(scope='session')
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    return make_demo_data(tmp_path_factory.mktemp('demo') / 'data', **SMALL)
