"""Made-up inputs for what strangers' bytes reach first: the decoder and the event parser."""
