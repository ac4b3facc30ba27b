"""Text-to-speech engines that say when each sound begins: espeak-ng, flite and festival."""
