"""Sources of speech that say when each sound begins: espeak-ng, flite, festival, and recordings with their text."""
