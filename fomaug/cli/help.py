"""The help of commands, with examples and options in sections, and the shared options for scripts."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Final, TypeVar

import click

from fomaug.errors import did_you_mean

_QUIET: Final = "fomaug.quiet"
F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("fomaug expand faces faces-expanded --copies 8", "fomaug animate portrait.jpg clip.mp4 -o moving.mp4"),
    "expand": (
        "fomaug expand faces faces-expanded --copies 4 --seed 1",
        "fomaug expand pictures out --faces boxes --annotations boxes.json",
        "fomaug expand faces shards --format webdataset --driving my-clips",
        "fomaug expand faces smiling --driving my-clips --clip-labels folders --labels from_clip",
    ),
    "convert": ("fomaug convert faces-expanded faces-aligned --to folder --align 112",),
    "study": ("fomaug study faces -o faces-study --task recognition",),
    "animate": (
        "fomaug animate portrait.jpg clip.mp4 -o moving.mp4 --compare",
        "fomaug animate --pairs pairs.csv -o results",
    ),
    "report": ("fomaug report faces-expanded --json",),
    "check": ("fomaug check faces-expanded test-faces",),
    "verify": ("fomaug verify faces-expanded picture.jpg --json",),
    "pool": ("fomaug pool build my-clips -o my-pool.safetensors",),
    "pool build": ("fomaug pool build my-clips -o my-pool.safetensors --labels folders",),
    "pool show": ("fomaug pool show builtin",),
    "model": ("fomaug model list",),
    "model list": ("fomaug model list --json",),
    "model info": ("fomaug model info lite-256 --json",),
    "model import": ("fomaug model import vox-256.pth.tar --config vox-256",),
    "train": ("fomaug train my-config.yaml --data clips -o run --resume",),
    "reconstruct": ("fomaug reconstruct lite-256 clips -o measures.json",),
    "evaluate": ("fomaug evaluate clips --model lite-256 --model my-model.safetensors",),
    "bench": ("fomaug bench --threads 1 --json",),
    "export": ("fomaug export lite-256 onnx",),
}
"""Examples of each command; the first words are its name."""

COMMAND_SECTIONS: Final[Mapping[str, str]] = {
    "Datasets": "expand convert study report check verify",
    "Pictures": "animate",
    "Motion and models": "pool model train reconstruct evaluate bench export",
}
"""Commands by subject."""

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "expand": {
        "Motion": "driving views selection strength_range region reference relative relative_jacobian adapt_scale "
        "yaw_range pitch_range mirror_probability clip_weights clip_crop seed",
        "Copies": "purpose copies balance max_copies gates tries include_sources",
        "Faces and labels": "faces on_missing labels annotations annotation_format clip_labels",
        "Input": "split on_error max_pixels",
        "Output": "format image_format quality samples_per_shard",
        "Model and speed": "model config device dtype batch_size workers processes engine address profile",
        "Job": "resume dry_run prepare shard finish progress quiet as_json",
    },
    "study": {
        "Task": "task annotations annotation_format group_pattern normaliser embedding worth",
        "Design": "per_class train_images arms choices seeds seed",
        "Training": "steps batch_size share copies gates size",
        "Job": "out device progress quiet as_json",
    },
    "animate": {
        "Motion": "relative strength region reference source_frame",
        "Picture and clip": "face crop max_frames max_pixels",
        "Many pairs": "pairs root overwrite",
        "Model and speed": "model config device dtype batch_size",
        "Output": "output video_format compare overlay audio progress quiet",
    },
}
"""Names of the options of each command with many of them, by subject; all others join the last subject."""


class _Helpful(click.Command):
    """A command whose help has examples, sections of options, and defaults."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.context_settings = {"show_default": True, **self.context_settings}

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description, then the examples."""
        super().format_help_text(ctx, formatter)
        examples = EXAMPLES.get(_name(ctx), ())
        if examples:
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                for example in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by subject."""
        sections = SECTIONS.get(_name(ctx))
        if sections is None:
            super().format_options(ctx, formatter)
            return
        titles = {name: title for title, names in sections.items() for name in names.split()}
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in sections}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                rows[titles.get(param.name or "", [*sections][-1])].append(record)
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)


class Command(_Helpful):
    """A command of fomaug; with `--quiet`, it prints only problems, and JSON with `--json`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        if not ctx.meta.get(_QUIET):
            return super().invoke(ctx)
        ctx.params |= {"progress": False} if "progress" in ctx.params else {}
        with _silent(unless=ctx.params.get("as_json", False)):
            return super().invoke(ctx)


class Group(_Helpful, click.Group):
    """A group of such commands; the error for an unknown command suggests the nearest one."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or raise an error that suggests the nearest one."""
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}{did_you_mean(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)


def quiet_option(command: F) -> F:
    """Add `--quiet` to a command of the class `Command`."""

    def keep(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
        ctx.meta[_QUIET] = value

    return click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=keep, help="Print only problems.")(
        command
    )


def json_option(command: F) -> F:
    """Add `--json` to a command, as its argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def print_json(result: Any) -> None:
    """Print a result as JSON; values without a JSON type, such as paths, become text."""
    plain = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    click.echo(json.dumps(plain, indent=2, ensure_ascii=False, default=str))


@contextlib.contextmanager
def _silent(*, unless: bool) -> Iterator[None]:
    with contextlib.nullcontext() if unless else contextlib.redirect_stdout(io.StringIO()):
        yield


def _name(ctx: click.Context) -> str:
    """Return the name of a command without that of the program."""
    return " ".join(ctx.command_path.split()[1:])
