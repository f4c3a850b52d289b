"""The encoder: average pooling of the pixels."""

from torch import nn

from sslaudit import Encoder, EncoderError, EncoderRef, LoadAudit, Preprocess


def load(ref: EncoderRef, device: str) -> Encoder:
    """Raises ``EncoderError`` when the grid is no whole number of 1 to 32 cells."""
    if not ref.locator.isdecimal() or not 1 <= int(ref.locator) <= 32:
        raise EncoderError(f"'{ref}': the grid is a whole number from 1 to 32, as in pooled:4.")
    cells = int(ref.locator)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(cells), nn.Flatten()).to(device).eval()
    return Encoder(
        ref=str(ref),
        name=f"pooled pixels {cells} x {cells}",
        embed=pool,
        dim=3 * cells * cells,
        preprocess=Preprocess(size=(32, 32), source="given"),
        digest=f"pooled-{cells}",
        parameters=0,
        load=LoadAudit(matched=0, expected=0),
        module=pool,
    )
