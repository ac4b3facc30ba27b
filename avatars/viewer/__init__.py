"""See, pose and talk to an avatar in a browser: a viser application around the native renderer.

    viewer = Viewer(avatar)      # app.py: puts the parts together and serves them
    viewer.run()                 # until interrupted

What is shown flows one way: a source (sources/) gives the face of the moment, the puppet (puppet.py) adds what the
sliders ask for, the renderer (renderer.py) draws it for every visitor's own camera, and the panel (panel/) is what the
visitor touches. Everything that comes in from the network passes through security.py first.
"""
