"""What makes a server of the layers: configuration, listeners, TLS, figures, and the demo.

`server` puts everything together; read it first. `twistd` is where `twistd maa` begins, `config`
the settings and `reading` how they are read.
"""
