"""Injective maps from R^n into R^d, and the bijections they are made of."""

from lfi_mflow.charts.affine import AffineCoupling, MaskedAffine
from lfi_mflow.charts.atlas import AtlasChart, Cover
from lfi_mflow.charts.atlas_settings import AtlasSettings
from lfi_mflow.charts.bijection import Bijection, Composition, Leading
from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.conformal import (
    ConformalBijection,
    ConformalChart,
    ConformalSettings,
    Rotation,
    Scaling,
    Shift,
    SpecialConformal,
)
from lfi_mflow.charts.coupling import CouplingChart, CouplingSettings, SplineCoupling
from lfi_mflow.charts.encoded import AutoencoderChart, EncodedChart, GeneratorChart
from lfi_mflow.charts.hypersurface import HypersurfaceChart
from lfi_mflow.charts.image import ConvolutionalChart, ImageSettings
from lfi_mflow.charts.linear import PIXEL, Standardisation, TriangularLinear
from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork
from lfi_mflow.charts.prescribed import PRESCRIBED, SphereChart, TorusChart
from lfi_mflow.charts.quantiser import QuantiserSettings, VectorQuantiser
from lfi_mflow.charts.spline import RationalQuadraticSpline

__all__ = [
    "PIXEL",
    "PRESCRIBED",
    "AffineCoupling",
    "AtlasChart",
    "AtlasSettings",
    "AutoencoderChart",
    "Bijection",
    "Chart",
    "Composition",
    "ConformalBijection",
    "ConformalChart",
    "ConformalSettings",
    "ConvolutionalChart",
    "CouplingChart",
    "CouplingSettings",
    "Cover",
    "EncodedChart",
    "GeneratorChart",
    "HypersurfaceChart",
    "ImageSettings",
    "Leading",
    "MaskedAffine",
    "NetworkSettings",
    "QuantiserSettings",
    "RationalQuadraticSpline",
    "ResidualNetwork",
    "Rotation",
    "Scaling",
    "Shift",
    "SpecialConformal",
    "SphereChart",
    "SplineCoupling",
    "Standardisation",
    "TorusChart",
    "TriangularLinear",
    "VectorQuantiser",
]
