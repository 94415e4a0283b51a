"""`python -m conwp_bot`: the same as `conwp-bot`."""

from conwp_bot.cli.main import main

if __name__ == "__main__":
    main()
