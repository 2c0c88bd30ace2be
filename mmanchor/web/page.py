"""The page's layout, by gradio."""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..inference.model import Model
from ..utils.errors import UserError
from .answers import ANCHORS, CAM, HEADERS, Studio
from .uploads import Limits

_CSS = """
.gradio-container {max-width: 1240px !important; margin: 0 auto !important}
#status.fault {border-left: 4px solid #c0392b; padding-left: 10px; font-weight: 600}
#drop img, #drop video {max-height: 46vh}
"""
# Not the one that shares a picture with strangers.
_BUTTONS = ['download', 'fullscreen']
# Uploads and results are removed after an hour; seconds.
_SWEEP, _KEEP = 600, 3600


def open_gradio(folder: Path) -> Any:
    """Import gradio, which then writes to ``folder`` and reports nothing to anybody.

    Raises:
        UserError: If it is not installed.
    """
    # It reads them when it is imported.
    os.environ['GRADIO_TEMP_DIR'] = str(folder)
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_OFFLINE'] = os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise UserError("mmanchor web needs gradio: pip install 'mmanchor[web]'") from error
    return gradio


def serve(
    models: Mapping[str, Model],
    explain: bool = False,
    host: str = '127.0.0.1',
    port: int | None = None,
    limits: Limits | None = None,
) -> None:
    """Show the page until it is interrupted.

    Args:
        models: Name on the page -> model.
        explain: Also show anchor maps and Grad-CAM.
        host: Address to listen at.
        port: ``None`` takes a free one from 7860.
        limits: How large uploads may be.

    Raises:
        UserError: If gradio is missing, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix='mmanchor-web-') as name:
        folder = Path(name)
        gradio = open_gradio(folder)
        studio = Studio(models, folder, limits)
        page = build_page(gradio, studio, explain)
        try:
            page.launch(
                server_name=host,
                server_port=port,
                share=False,
                quiet=True,
                show_error=True,
                ssr_mode=False,
                max_file_size=f'{studio.limits.megabytes}mb',
                footer_links=[],
                prevent_thread_lock=True,
                css=_CSS,
                theme=_theme(gradio),
            )
        except OSError as error:
            raise UserError(f'--port {port} cannot be used: {error}') from error
        print(f'{page.local_url}  (Ctrl+C ends it)', flush=True)
        try:
            _wait()
        finally:
            page.close(verbose=False)


def _wait() -> None:
    """Until Ctrl+C, or a signal to end: then too the temporary folder goes."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


def _theme(gradio: Any) -> Any:
    """Fonts of the system: others would be fetched from the network."""
    return gradio.themes.Default(
        font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace']
    )


def build_page(gradio: Any, studio: Studio, explain: bool) -> Any:
    """The page, not yet served.

    Args:
        gradio: The module.
        studio: Answers.
        explain: Also show anchor maps and Grad-CAM.
    """
    names = list(studio.models)
    with gradio.Blocks(
        title='mmanchor', analytics_enabled=False, delete_cache=(_SWEEP, _KEEP)
    ) as page:
        gradio.Markdown(f'# {", ".join(names)}\nEverything stays on this machine.')
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                with gradio.Tabs():
                    with gradio.Tab('Image'):
                        image = gradio.Image(
                            type='filepath',
                            sources=['upload', 'webcam', 'clipboard'],
                            label='Image',
                            elem_id='drop',
                        )
                        run = gradio.Button('Predict', variant='primary')
                    with gradio.Tab('Video'):
                        video = gradio.Video(
                            sources=['upload', 'webcam'], label='Video', include_audio=False
                        )
                        run_video = gradio.Button('Predict', variant='primary')
                chosen = gradio.CheckboxGroup(
                    names, value=names, label='Models', visible=len(names) > 1
                )
                detects = any(model.task == 'detection' for model in studio.models.values())
                threshold = gradio.Slider(
                    0, 1, 0.3, step=0.01, label='Least score of a box', visible=detects
                )
            with gradio.Column(scale=3, min_width=320):
                status = gradio.Markdown('Drop an image, or use the camera.', elem_id='status')
                with gradio.Row():
                    drawings = [
                        gradio.Image(
                            label=name,
                            format='png',
                            interactive=False,
                            buttons=_BUTTONS,
                            min_width=300,
                            visible=name == names[0],
                        )
                        for name in names
                    ]
                drawn = gradio.Video(label='Predictions', visible=False, buttons=['download'])
                rows = gradio.Dataframe(
                    headers=list(HEADERS), interactive=False, wrap=True, buttons=[]
                )
                download = gradio.DownloadButton('Download', interactive=False)
        say = _Saying(gradio)
        outputs = [status, drawn, rows, download, *drawings]

        def predict(upload: Any, models: list[str], least: float) -> list[Any]:
            answer = studio.predict(upload, models, least)
            shown = {name: image for image, name in answer.drawings}
            return [
                gradio.update(visible=False),
                gradio.update(value=answer.rows, visible=True),
                gradio.update(value=str(answer.file), interactive=True),
                *(gradio.update(value=shown.get(name), visible=name in shown) for name in names),
            ]

        def predict_video(upload: Any, models: list[str], least: float) -> list[Any]:
            path = str(studio.draw_video(upload, models, least))
            return [
                gradio.update(value=path, visible=True),
                gradio.update(visible=False),
                gradio.update(value=path, interactive=True),
                *(gradio.update(visible=False) for _ in names),
            ]

        inputs = [image, chosen, threshold]
        ask = say.asking(predict, len(outputs) - 1)
        for event in (run.click, image.upload, threshold.release, chosen.input):
            event(ask, inputs, outputs, **_ALONE)
        run_video.click(
            say.asking(predict_video, len(outputs) - 1),
            [video, chosen, threshold],
            outputs,
            **_ALONE,
        )
        if explain:
            _add_explanations(gradio, studio, image, say)
    return page


# One question at a time; uploads are checked here, not by gradio, which would decode them.
_ALONE: dict[str, Any] = dict(
    preprocess=False, concurrency_id='models', concurrency_limit=1, api_visibility='private'
)


class _Saying:
    """Turns what goes wrong into a message on the page."""

    def __init__(self, gradio: Any) -> None:
        self._gradio = gradio

    def asking(self, function: Callable[..., list[Any]], number: int) -> Callable[..., list[Any]]:
        """A function whose first output is the status, and that never raises.

        Args:
            function: Gives ``number`` outputs.
            number: How many are left as they are if it fails.
        """

        def ask(*inputs: Any) -> list[Any]:
            try:
                outputs = function(*inputs)
            except UserError as error:
                fault = self._gradio.update(value=f'⚠ {error}', elem_classes=['fault'])
                return [fault, *[self._gradio.update() for _ in range(number)]]
            return [self._gradio.update(value='Done.', elem_classes=[]), *outputs]

        return ask


def _add_explanations(gradio: Any, studio: Studio, image: Any, say: _Saying) -> None:
    """The lower part of the page: where a model looks."""
    anchors = studio.with_anchors
    names = list(studio.models)
    layers = max((each[0] for each in anchors.values()), default=1)
    heads = max((each[1] for each in anchors.values()), default=1)
    kinds = [ANCHORS, CAM] if anchors else [CAM]
    gradio.Markdown('## What it looks at')
    with gradio.Row():
        with gradio.Column(scale=2, min_width=320):
            kind = gradio.Radio(kinds, value=kinds[0], label='Show')
            name = gradio.Dropdown(
                names, value=names[0], label='Model', visible=len(names) > 1, filterable=False
            )
            with gradio.Group(visible=bool(anchors)) as of_anchors:
                layer = gradio.Slider(
                    -1, layers - 1, -1, step=1, label='Layer (-1: first, middle and last)'
                )
                head = gradio.Slider(-1, heads - 1, -1, step=1, label='Head (-1: the clearest)')
                spot = gradio.Image(
                    label='Click a point to see what flows into it',
                    interactive=False,
                    height=240,
                    buttons=[],
                )
            with gradio.Group(visible=not anchors) as of_cam:
                class_name = gradio.Textbox(
                    label='Class (name or number)', placeholder='the predicted one'
                )
                detects = any(model.task == 'detection' for model in studio.models.values())
                box = gradio.Slider(0, 20, 0, step=1, label='Box (0: the best)', visible=detects)
            run = gradio.Button('Explain', variant='primary')
        with gradio.Column(scale=3, min_width=320):
            status = gradio.Markdown('', elem_id='status-explain')
            sheet = gradio.Image(
                show_label=False, format='png', interactive=False, buttons=_BUTTONS
            )
    point = gradio.State(None)

    def explain(*inputs: Any) -> list[Any]:
        return [studio.explain(*inputs)]

    inputs = [image, name, kind, layer, head, point, class_name, box]
    ask = say.asking(explain, 1)

    def show_spot(upload: Any) -> Any:
        return (upload or {}).get('path'), None

    def pick(event: gradio.SelectData) -> Any:
        return [float(side) for side in event.index]

    # Annotations of inner functions do not survive without the name.
    pick.__annotations__['event'] = gradio.SelectData
    kind.change(
        lambda value: [
            gradio.update(visible=value == ANCHORS),
            gradio.update(visible=value == CAM),
        ],
        [kind],
        [of_anchors, of_cam],
        api_visibility='private',
    )
    image.change(show_spot, [image], [spot, point], preprocess=False, api_visibility='private')
    for event in (run.click, layer.release, head.release, box.release, class_name.submit):
        event(ask, inputs, [status, sheet], **_ALONE)
    spot.select(pick, None, [point], api_visibility='private').then(
        ask, inputs, [status, sheet], **_ALONE
    )
