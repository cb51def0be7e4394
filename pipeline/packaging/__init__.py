"""From the trained student to what is shipped: graphs, index, bundle."""
