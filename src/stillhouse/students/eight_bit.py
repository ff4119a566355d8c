"""bitsandbytes' 8-bit AdamW, told by its groups which parameters it keeps in 32 bits.

The library's own way is a table of the whole process by the address of each parameter, which
outlives the training and may meet another parameter at the same address.
"""

from __future__ import annotations

from typing import Any

from bitsandbytes.optim.adamw import AdamW8bit


class EightBitAdamW(AdamW8bit):
    """AdamW with both moments in 8 bits, but for groups whose `optim_bits` is 32.

    Source: Dettmers et al. 2022, arXiv:2110.02861, section 2; embeddings in 32 bits, section 2.3.
    """

    def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        """Settings of one parameter's state and step.

        Args:
            gindex: number of the group.
            pindex: number of the parameter in it.
            group: the group.

        Returns:
            The library's settings, with the group's own bits.
        """
        config: dict[str, Any] = super().get_config(gindex, pindex, group)
        return config | {"optim_bits": group.get("optim_bits", 8)}
