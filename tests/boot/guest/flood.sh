# SPDX-License-Identifier: GPL-2.0-only
# Prints without end.

yes 0123456789012345678901234567890123456789
