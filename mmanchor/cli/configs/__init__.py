"""Commands on configs: list, print, start one."""
