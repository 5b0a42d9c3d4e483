from .udp_heatmap import UDPHeatmap

__all__ = ['UDPHeatmap']
