# SPDX-License-Identifier: GPL-2.0-only
# Says that user space was reached.
:
