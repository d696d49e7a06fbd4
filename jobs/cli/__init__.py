"""The command line, in the order in which it reads argv.

    main                              parse, load the recipe, call the command, turn errors into exit codes
    parser                            grammar and help, made from the table
    commands                          the one table of commands; long entries have files of their own:
      cluster_commands, job_commands    cluster and its commands; submit, and jobs and its commands
    command                           the kinds of commands, and how a plain one reads its arguments

A command's own code is imported only when it is called.
"""
