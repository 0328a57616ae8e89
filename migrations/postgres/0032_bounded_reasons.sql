-- Of what is said of a failure 1,000 characters are kept: a worker, or an event that cannot be read, may say much more.

-- The functions are changed where they stand, so that nothing else of them is written down a second time.
DO $$
DECLARE
    changed CONSTANT TEXT[][] := ARRAY[
        ['gavel_park', 'reason = $4', 'reason = left($4, 1000)'],
        ['gavel_nack', 'reason = $5', 'reason = left($5, 1000)']
    ];
    change     TEXT[];
    definition TEXT;
BEGIN
    FOREACH change SLICE 1 IN ARRAY changed LOOP
        definition := pg_get_functiondef(change[1]::REGPROC);
        IF position(change[2] IN definition) = 0 THEN
            RAISE EXCEPTION '% is another function than it was', change[1];
        END IF;
        EXECUTE replace(definition, change[2], change[3]);
    END LOOP;
END;
$$;
