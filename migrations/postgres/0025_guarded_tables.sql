-- What was decided never changes, nor does the code that decided it: plain SQL is refused, as on `events`. Modules that nobody uses are
-- deleted.

CREATE TRIGGER commands_never_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON commands
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_refuse_change();

CREATE TRIGGER modules_never_change
    BEFORE UPDATE OR TRUNCATE ON modules
    FOR EACH STATEMENT
    EXECUTE FUNCTION gavel_refuse_change();
