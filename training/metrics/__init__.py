"""SSIM, LPIPS, VFID, and the protocols that say how they are computed.

Read ``protocols.py`` first.
"""
