"""The verbs of ``omnibusctl``, one module each: ``arguments`` declares its options, ``run`` answers."""
