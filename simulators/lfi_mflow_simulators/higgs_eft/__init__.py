"""Higgs production by WW fusion with two Wilson coefficients: n = 14, d = 40, all exact."""

from lfi_mflow_simulators.higgs_eft.closure import kinematic_closure
from lfi_mflow_simulators.higgs_eft.features import kinematic_residuals
from lfi_mflow_simulators.higgs_eft.kinematics import LATENTS
from lfi_mflow_simulators.higgs_eft.simulator import HiggsEFT
from lfi_mflow_simulators.higgs_eft.smearing import SmearedHiggsEFT

__all__ = ["LATENTS", "HiggsEFT", "SmearedHiggsEFT", "kinematic_closure", "kinematic_residuals"]
