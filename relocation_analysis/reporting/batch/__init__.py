"""Many reports: the jobs of a study's provinces, here or on a cluster, and the page that lists them."""
