"""`fomaug export`: a model as ONNX files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model_name", metavar="MODEL")
@click.argument("folder", metavar="OUT_DIR", type=click.Path(path_type=Path, file_okay=False))
def export(model_name: str, folder: Path) -> None:
    """Write MODEL as detector.onnx, encoder.onnx and generator.onnx into OUT_DIR, and check them in ONNX Runtime."""
    from fomaug.weights import load_model
    from fomaug.weights.onnx import export_onnx

    differences = export_onnx(load_model(model_name, device="cpu"), folder)
    for name, difference in differences.items():
        click.echo(f"{folder / name}: differs from the model by {difference:.1e} at most")
