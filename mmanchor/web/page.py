"""The page's layout, by gradio."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..inference.model import Model
from ..utils.errors import UserError
from .answers import ANCHORS, CAM, KEEP, Studio, as_html
from .uploads import Limits

_CSS = """
.gradio-container {max-width: 1240px !important; margin: 0 auto !important}
#status.fault {border-left: 4px solid #c0392b; padding-left: 10px; font-weight: 600}
#drop img, #drop video {max-height: 46vh}
#rows {max-height: 480px; overflow: auto}
#rows table {width: 100%; border-collapse: collapse; font-size: 14px}
#rows th, #rows td {text-align: left; padding: 4px 8px; border: 0 solid #8884}
#rows td {border-top-width: 1px !important}
"""
# Not the one that shares a picture with strangers.
_BUTTONS = ['download', 'fullscreen']
# Seconds between looks for old uploads.
_SWEEP = 600


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


def require_address(host: str, port: int | None) -> None:
    """Make sure that a page can listen there, before models are loaded for it.

    Gradio would try a hundred ports of a host that is not this machine's.

    Args:
        host: Address to listen at.
        port: ``None`` for a free one.

    Raises:
        UserError: If it is not of this machine, or the port is taken.
    """
    if port is not None and not 0 < port < 65536:
        raise UserError(f'--port must be from 1 to 65535, got {port}')
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: one that has just ended does not block its port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    # Names of hosts are encoded first.
    except (OSError, UnicodeError) as error:
        place = f'--host {host}' + (f' --port {port}' if port else '')
        raise UserError(f'{place} cannot be listened at: {error}') from error


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
            raise UserError(f'--host {host} cannot be listened at: {error}') from error
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


# One question at a time; uploads are checked here, not by gradio, which would decode them.
_ALONE: dict[str, Any] = dict(
    preprocess=False, concurrency_id='models', concurrency_limit=1, api_visibility='private'
)


def build_page(gradio: Any, studio: Studio, explain: bool) -> Any:
    """The page, not yet served.

    Args:
        gradio: The module.
        studio: Answers.
        explain: Also show anchor maps and Grad-CAM.
    """
    names = ', '.join(studio.models)
    with gradio.Blocks(
        title='mmanchor', analytics_enabled=False, delete_cache=(_SWEEP, KEEP)
    ) as page:
        gradio.Markdown(f'# {names}\nEverything stays on this machine.')
        predictions = _Predictions(gradio, studio)
        if explain:
            _Explanations(gradio, studio, predictions.image)
    return page


class _Part:
    """A part of the page.

    Args:
        gradio: The module.
        studio: Answers.
    """

    def __init__(self, gradio: Any, studio: Studio) -> None:
        self.gradio, self.studio = gradio, studio
        self.names = list(studio.models)
        self.detects = any(model.task == 'detection' for model in studio.models.values())
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                self.ask()
            with gradio.Column(scale=3, min_width=320):
                self.answer()

    def ask(self) -> None:
        """Lay out what the visitor gives."""
        raise NotImplementedError

    def answer(self) -> None:
        """Lay out what the visitor gets."""
        raise NotImplementedError

    def said(self, function: Callable[..., list[Any]], number: int) -> Callable[..., list[Any]]:
        """A function whose first output is the status, and that says what is wrong.

        Args:
            function: Gives ``number`` outputs.
            number: How many are emptied if it fails.
        """
        update = self.gradio.update

        def ask(*inputs: Any) -> list[Any]:
            try:
                outputs = function(*inputs)
            except UserError as error:
                fault = update(value=f'\N{WARNING SIGN} {error}', elem_classes=['fault'])
                # What an earlier image gave would look like this one's.
                return [fault, *(update(value=None) for _ in range(number))]
            return [update(value='Done.', elem_classes=[]), *outputs]

        return ask


class _Predictions(_Part):
    """The upper part: an image or a video in, drawings and a table out."""

    def __init__(self, gradio: Any, studio: Studio) -> None:
        super().__init__(gradio, studio)
        outputs = [self.status, self.drawn, self.rows, self.download, *self.drawings]
        number = len(outputs) - 1
        inputs = [self.image, self.chosen, self.threshold]
        on_image = self.said(self.predict, number)
        changed = (self.threshold.release, self.chosen.input)
        for event in (self.run.click, self.image.upload, *changed):
            event(on_image, inputs, outputs, **_ALONE)
        inputs = [self.video, self.chosen, self.threshold]
        self.run_video.click(self.said(self.predict_video, number), inputs, outputs, **_ALONE)

    def ask(self) -> None:
        """Image and video, models, threshold."""
        gradio, names = self.gradio, self.names
        with gradio.Tabs():
            with gradio.Tab('Image'):
                self.image = gradio.Image(
                    type='filepath',
                    sources=['upload', 'webcam', 'clipboard'],
                    label='Image',
                    elem_id='drop',
                )
                self.run = gradio.Button('Predict', variant='primary')
            with gradio.Tab('Video'):
                self.video = gradio.Video(
                    sources=['upload', 'webcam'], label='Video', include_audio=False
                )
                self.run_video = gradio.Button('Predict', variant='primary')
        self.chosen = gradio.CheckboxGroup(
            names, value=names, label='Models', visible=len(names) > 1
        )
        self.threshold = gradio.Slider(
            0, 1, 0.3, step=0.01, label='Least score of a box', visible=self.detects
        )

    def answer(self) -> None:
        """An image for each model, or a video; a table; a file."""
        gradio, names = self.gradio, self.names
        self.status = gradio.Markdown('Drop an image, or use the camera.', elem_id='status')
        with gradio.Row(elem_id='drawings'):
            self.drawings = [
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
        self.drawn = gradio.Video(label='Predictions', visible=False, buttons=['download'])
        # gradio's own table is wider than a phone.
        self.rows = gradio.HTML(as_html([]), elem_id='rows')
        self.download = gradio.DownloadButton('Download predictions', interactive=False)

    def predict(self, upload: Any, models: list[str], least: float) -> list[Any]:
        """Outputs for an image."""
        update = self.gradio.update
        answer = self.studio.predict(upload, models, least)
        shown = {name: image for image, name in answer.drawings}
        return [
            update(visible=False),
            update(value=as_html(answer.rows), visible=True),
            update(value=str(answer.file), interactive=True),
            *(update(value=shown.get(name), visible=name in shown) for name in self.names),
        ]

    def predict_video(self, upload: Any, models: list[str], least: float) -> list[Any]:
        """Outputs for a video."""
        update = self.gradio.update
        path = str(self.studio.draw_video(upload, models, least))
        return [
            update(value=path, visible=True),
            update(visible=False),
            update(value=path, interactive=True),
            *(update(visible=False) for _ in self.names),
        ]


class _Explanations(_Part):
    """The lower part: where a model looks.

    Args:
        gradio: The module.
        studio: Answers.
        image: The component that holds the image.
    """

    def __init__(self, gradio: Any, studio: Studio, image: Any) -> None:
        self.anchors = studio.with_anchors
        gradio.Markdown('## What it looks at')
        super().__init__(gradio, studio)
        point = gradio.State(None)
        inputs = [image, self.name, self.kind, self.layer, self.head, point]
        inputs += [self.class_name, self.box]
        outputs = [self.status, self.sheet]
        explain = self.said(lambda *given: [studio.explain(*given)], 1)
        changed = (self.layer.release, self.head.release, self.box.release)
        for event in (self.run.click, self.class_name.submit, *changed):
            event(explain, inputs, outputs, **_ALONE)
        plain = dict(api_visibility='private')
        image.change(
            lambda upload: ((upload or {}).get('path'), None),
            [image],
            [self.spot, point],
            preprocess=False,
            **plain,
        )
        self.kind.change(
            lambda kind: [gradio.update(visible=kind == each) for each in (ANCHORS, CAM)],
            [self.kind],
            [self.of_anchors, self.of_cam],
            **plain,
        )

        def pick(event: Any) -> list[float]:
            return [float(side) for side in event.index]

        # How gradio knows what to give.
        pick.__annotations__['event'] = gradio.SelectData
        self.spot.select(pick, None, [point], **plain).then(explain, inputs, outputs, **_ALONE)

    def ask(self) -> None:
        """Which explanation, of what."""
        gradio, names, sizes = self.gradio, self.names, self.anchors.values()
        layers, heads = (max((each[i] for each in sizes), default=1) for i in (0, 1))
        kinds = [ANCHORS, CAM] if sizes else [CAM]
        self.kind = gradio.Radio(kinds, value=kinds[0], label='Show')
        self.name = gradio.Dropdown(
            names,
            value=next(iter(self.anchors), names[0]),
            label='Model',
            visible=len(names) > 1,
            filterable=False,
        )
        with gradio.Group(visible=bool(sizes)) as self.of_anchors:
            label = 'Layer (-1: first, middle and last)'
            self.layer = gradio.Slider(-1, layers - 1, -1, step=1, label=label)
            self.head = gradio.Slider(-1, heads - 1, -1, step=1, label='Head (-1: the clearest)')
            self.spot = gradio.Image(
                label='Click a point to see what flows into it',
                interactive=False,
                height=240,
                buttons=[],
                elem_id='spot',
            )
        with gradio.Group(visible=not sizes) as self.of_cam:
            self.class_name = gradio.Textbox(
                label='Class (name or number)', placeholder='the predicted one'
            )
            label = 'Box (0: the best)'
            self.box = gradio.Slider(0, 20, 0, step=1, label=label, visible=self.detects)
        self.run = gradio.Button('Explain', variant='primary')

    def answer(self) -> None:
        """The sheet."""
        gradio = self.gradio
        self.status = gradio.Markdown('', elem_id='status-explain')
        self.sheet = gradio.Image(
            show_label=False, format='png', interactive=False, buttons=_BUTTONS, elem_id='sheet'
        )
