"""`basereward serve`: rewards over HTTP, on Ray Serve.

    recipe -> entry.run -> command.run -> Ray Serve applications, one a model, each of replicas that load it

    request -> guard: token, size, time of the body -> app: routes -> answers: of every format
            -> rm_core's RewardService -> rewards

`models`       an address or a folder as a model that can answer
`schemas`      bodies of requests and answers
`app`          the routes, of the formats of other programs too; runs on any ASGI server
`applications` what is served as plain values, and Ray Serve's config file of it
`deployment`   the app as a Ray Serve application
`watching`     an alias of the registry, whose new version takes over
`metrics`      what Prometheus reads
`client`       for Python programs that ask
"""
