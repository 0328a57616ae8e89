-- What was decided never changes, nor does the code that decided it. Modules that nobody uses are deleted.

CREATE TRIGGER commands_are_never_updated BEFORE UPDATE ON commands
BEGIN
    SELECT RAISE(ABORT, 'commands are immutable');
END;

CREATE TRIGGER commands_are_never_deleted BEFORE DELETE ON commands
BEGIN
    SELECT RAISE(ABORT, 'commands are immutable');
END;

CREATE TRIGGER modules_are_never_updated BEFORE UPDATE ON modules
BEGIN
    SELECT RAISE(ABORT, 'modules are immutable');
END;
