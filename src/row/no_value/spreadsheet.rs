//! What spreadsheet programs print instead of the result of a formula, in every language that they
//! translate it into.

/// Error values of Excel, `LibreOffice` and Google Sheets, separated by whitespace, one line per
/// language. Languages that keep the English words have no line.
const ERRORS: &str = "
#N/A #NA #REF! #VALUE! #DIV/0! #NAME? #NUM! #NULL! #ERROR! #SPILL! #CALC! #FIELD! #BLOCKED!
#Error #Deleted #Name? #Num! #Div/0! #Value! #Type! #Func! #Size! #MULTIVALUE #Multivalue #SYNTAX #COMPUTATION
#CONNECT! #UNKNOWN! #BUSY! #GETTING_DATA #GETTING_DATA! #EXTERNAL! #PYTHON! #TIMEOUT! #CYCLE!
#DATA! #MACRO? #VALUE #UNPARSEABLE
#NV #BEZUG! #WERT! #ZAHL! #ÜBERLAUF! #KALK! #FELD! #BLOCKIERT! #VERBINDEN! #UNBEKANNT! #BESCHÄFTIGT!
#EXTERN! #DATEN_ABRUFEN #DATEN_ABRUFEN! #NULL!
#VALEUR! #NOM? #NOMBRE! #NUL! #PROPAGATION! #EPARS! #ÉPARS! #CALCUL! #CHAMP! #BLOQUE! #BLOQUÉ!
#CONNEXION! #INCONNU! #OCCUPE! #OCCUPÉ! #EXTERNE! #OBTENTION_DONNEES #CHARGEMENT_DONNEES
#N/D #¡VALOR! #¡REF! #¿NOMBRE? #¡NUM! #¡NULO! #¡DIV/0! #¡DESBORDAMIENTO! #¡CALC! #¡CÁLCULO! #¡CAMPO!
#¡BLOQUEADO! #¡CONECTAR! #¡DESCONOCIDO! #¡OCUPADO! #¡EXTERNO! #OBTENIENDO_DATOS #DESBORDAMIENTO!
#¡SPILL! #¡ERROR!
#VALORE! #RIF! #NOME? #NULLO! #ESPANSIONE! #CALCOLO! #CAMPO! #BLOCCATO! #CONNETTI! #SCONOSCIUTO!
#OCCUPATO! #ESTERNO! #ESTRAZIONE_DATI #ESTRAZIONE_DATI_IN_CORSO #RECUPERO_DATI
#VALOR! #NÚM! #NULO! #DESPEJAR! #EXCEDE! #EXCEDENTE! #CÁLCULO! #BLOQUEADO! #CONECTAR! #DESCONHECIDO!
#OCUPADO! #OBTENDO_DADOS #A_OBTER_DADOS #ERRO! #LIGAR!
#N/B #VERW! #WAARDE! #DEEL/0! #NAAM? #GETAL! #LEEG! #OVERLOOP! #BEREKENEN! #BEREK! #VELD! #GEBLOKKEERD!
#VERBINDEN! #ONBEKEND! #BEZET! #GEGEVENS_OPHALEN #FOUT!
#N/D! #ARG! #ADR! #DZIEL/0! #NAZWA? #LICZBA! #ZERO! #PUSTE! #ROZLANIE! #ROZLEWANIE! #OBL! #OBLICZ! #POLE!
#ZABLOKOWANO! #POŁĄCZ! #NIEZNANY! #ZAJĘTY! #POBIERANIE_DANYCH #BŁĄD!
#Н/Д #ССЫЛКА! #ЗНАЧ! #ДЕЛ/0! #ИМЯ? #ЧИСЛО! #ПУСТО! #ПЕРЕНОС! #ВЫЧИСЛ! #ПОЛЕ! #ДАННЫЕ! #ЗАБЛОКИРОВАНО!
#БЛОКИРОВАНО! #ПОДКЛЮЧЕНИЕ! #НЕИЗВЕСТНО! #ЗАНЯТО! #ПОЛУЧЕНИЕ_ДАННЫХ #ОЖИДАНИЕ_ДАННЫХ #ОШИБКА!
#ПОСИЛАННЯ! #ЗНАЧЕННЯ! #ДІЛ/0! #ІМ'Я? #ІМ’Я? #ПОМИЛКА!
#SAKNAS! #SAKNAS #REFERENS! #VÄRDEFEL! #DIVISION/0! #NAMN? #OGILTIGT! #SKÄRNING! #SPILL! #KALK! #FÄLT!
#BLOCKERAT! #ANSLUT! #OKÄNT! #UPPTAGET! #HÄMTAR_DATA
#I/T #REFERENCE! #VÆRDI! #NAVN? #NUL! #OVERLØB! #BEREGN! #FELT! #BLOKERET! #OPRETFORBINDELSE! #UKENDT!
#OPTAGET! #HENTER_DATA #FEJL!
#VERDI! #TALL! #OVERFLYT! #BEREGN! #BLOKKERT! #KOBLE_TIL! #UKJENT! #OPPTATT! #FEIL!
#PUUTTUU! #PUUTTUU #VIITTAUS! #ARVO! #JAKO/0! #NIMI? #LUKU! #TYHJÄ! #LEVITÄ! #TÄYTTÖ! #LASKE! #LASKENTA!
#KENTTÄ! #ESTETTY! #YHDISTÄ! #TUNTEMATON! #VARATTU! #NOUDETAAN_TIETOJA #VIRHE!
#NENÍ_K_DISPOZICI #ODKAZ! #HODNOTA! #DĚLENÍ_NULOU! #NÁZEV? #ČÍSLO! #PŘESAH! #PŘESAH_DAT! #VÝPOČET! #POLE!
#BUŇKA! #BLOKOVÁNO! #PŘIPOJIT! #NEZNÁMÝ! #ZANEPRÁZDNĚNO! #NAČÍTÁNÍ_DAT #NAČÍTÁNÍ_DAT! #ZÍSKÁVÁNÍ_DAT
#EXTERNÍ! #CHYBA!
#NEDOSTUPNÝ #NEDOSTUPNÉ #DELENIENULOU! #DELENIE_NULOU! #NÁZOV? #NEPLATNÝ! #PRESAH! #ZÍSKAVAJÚ_SA_ÚDAJE
#HIÁNYZIK #HIV! #ÉRTÉK! #ZÉRÓOSZTÓ! #NÉV? #SZÁM! #NULLA! #KIBONTÁS! #SZÁMÍTÁS! #KALKULÁCIÓ! #MEZŐ!
#LETILTVA! #KAPCSOLÓDÁS! #ISMERETLEN! #FOGLALT! #ADATOK_BEKÉRÉSE #HIBA!
#YOK #BAŞV! #DEĞER! #SAYI/0! #AD? #SAYI! #BOŞ! #TAŞMA! #HESAPLA! #HESAP! #ALAN! #ENGELLENDİ! #BAĞLAN!
#BİLİNMEYEN! #MEŞGUL! #VERİ_ALINIYOR #HATA!
#Δ/Υ #ΑΝΑΦ! #ΤΙΜΗ! #ΔΙΑΙΡ./0! #ΔΙΑΙΡ/0! #ΟΝΟΜΑ? #ΑΡΙΘ! #ΚΕΝΟ! #ΣΦΑΛΜΑ!
#VRIJEDNOST! #VRIJ! #BROJ! #DIJ/0! #NAZIV?
#N/V #SKLIC! #VREDN! #VREDNOST! #DEL/0! #IME? #ŠTEV! #NIČ! #ZUNANJI!
#VALOARE! #NUME? #NUL!
#СТОЙНОСТ! #ИМЕ? #БРОЙ!
#NOL! #NILAI! #NAMA? #LIMPAH! #LUAPAN! #SAMBUNG! #DISEKAT!
#ԶՐՈ! #ԲԱԺԱՆՈՒՄ/0! #ԱՐԺԵՔ! #ՀՂՈՒՄ! #ԱՆՈՒՆ? #ԹԻՎ! #ԿԻՌ/ՉԷ #ՎԱՆԴԱԿԱՀԱՏՈՒՄ! #ԿԱՊԱԿՑՈՒՄ! #ԱՐԳԵԼԱՓԱԿՎԱԾ!
#ԱՆՀԱՅՏ! #ԴԱՇՏ! #ՀԱՇՎԱՐԿ!
#JINA? #NAM! #HAITUMAKI #INAPATA_DATA! #MWAGIKA! #UNGANISHA! #IMEZUIWA! #UGA!
#ЫҒЫСТЫРУ! #ӨРІС! #ПРЕЛЕВАЊЕ! #НАДВОРЕШНО! #분산! #スピル!
";

/// Errors of Smartsheet, in several words.
const ERRORS_OF_WORDS: [&str; 16] = [
    "#NO MATCH",
    "#INVALID REF",
    "#INVALID VALUE",
    "#INVALID OPERATION",
    "#INVALID DATA TYPE",
    "#INVALID COLUMN VALUE",
    "#CIRCULAR REFERENCE",
    "#DIVIDE BY ZERO",
    "#INCORRECT ARGUMENT",
    "#INCORRECT ARGUMENT SET",
    "#NESTED CRITERIA",
    "#PERMISSION ERROR",
    "#BOOLEAN EXPECTED",
    "#CONTACT EXPECTED",
    "#DATE EXPECTED",
    "#NUMBER EXPECTED",
];

/// Bloomberg and other add-ins append words to the error.
const ERROR_PREFIXES: [&str; 2] = ["#N/A ", "#NAME? "];

/// The numbers of errors in Excel's interface for programs, from #NULL! to #N/A.
const ERROR_NUMBERS: [&str; 7] = [
    "-2146826288",
    "-2146826281",
    "-2146826273",
    "-2146826265",
    "-2146826259",
    "-2146826252",
    "-2146826246",
];

/// The word before the number in `Err:502` of `LibreOffice`, by language.
const NUMBERED: [&str; 30] = [
    "Err",
    "Error",
    "Erreur",
    "Fehler",
    "Errore",
    "Erro",
    "Fout",
    "Fel",
    "Fejl",
    "Feil",
    "Virhe",
    "Chyba",
    "Błąd",
    "Hiba",
    "Hata",
    "Ошибка",
    "Помилка",
    "Σφάλμα",
    "Грешка",
    "Greška",
    "Napaka",
    "Eroare",
    "Viga",
    "Kļūda",
    "Klaida",
    "エラー",
    "错误",
    "錯誤",
    "오류",
    "Ralat",
];

/// What Google Sheets prints while a formula loads, without the dots at its end.
const LOADING: [&str; 30] = [
    "Loading",
    "Wird geladen",
    "Lädt",
    "Chargement",
    "Chargement en cours",
    "Cargando",
    "S'està carregant",
    "Caricamento",
    "Caricamento in corso",
    "Carregando",
    "A carregar",
    "Laden",
    "Bezig met laden",
    "Ładowanie",
    "Wczytuję",
    "Wczytywanie",
    "Загрузка",
    "Завантаження",
    "Läser in",
    "Laddar",
    "Indlæser",
    "Laster inn",
    "Ladataan",
    "Načítání",
    "Betöltés",
    "Yükleniyor",
    "読み込んでいます",
    "正在加载",
    "正在載入",
    "로드 중",
];

/// Whether the text is the error value of a formula.
pub(super) fn is_error(text: &str) -> bool {
    if text.starts_with('#') {
        return ERRORS.split_ascii_whitespace().any(|error| error == text)
            || ERRORS_OF_WORDS.contains(&text)
            || ERROR_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    }
    is_numbered_error(text) || is_error_of_vba(text) || ERROR_NUMBERS.contains(&text)
}

/// Whether the text is an error as Excel's programming language prints it: `Error 2042` is `#N/A`.
pub(super) fn is_error_of_vba(text: &str) -> bool {
    const NUMBER_BYTES: usize = " 2042".len();
    let at = text.len().checked_sub(NUMBER_BYTES);
    let Some((word, number)) = at.and_then(|at| text.split_at_checked(at)) else { return false };
    let number = number.strip_prefix(' ').map(str::parse);
    matches!(number, Some(Ok(2000..=2050))) && NUMBERED.contains(&word)
}

/// Whether the text is an error with a number, such as `Err:502`.
fn is_numbered_error(text: &str) -> bool {
    let Some((word, number)) = text.rsplit_once(':') else {
        return false;
    };
    let number = number.trim_start();
    // As `LibreOffice` numbers them.
    number.len() == 3
        && number.starts_with('5')
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && NUMBERED.contains(&word.trim_end())
}

/// Whether the text is printed while a formula loads.
pub(super) fn is_loading(text: &str) -> bool {
    let word = text.strip_suffix("...").or_else(|| text.strip_suffix('…'));
    word.is_some_and(|word| LOADING.contains(&word.trim_end()))
}

/// Whether the text is what programs print for a number that is wider than its column.
pub(super) fn is_too_narrow(text: &str) -> bool {
    const MARKS_MIN: usize = 3;
    text.len() >= MARKS_MIN && text.bytes().all(|byte| byte == b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_recognized_in_every_language() {
        for error in [
            "#N/A",
            "#NV",
            "#BEZUG!",
            "#WERT!",
            "#¡VALOR!",
            "#¿NOMBRE?",
            "#NOME?",
            "#ЗНАЧ!",
            "#N/D",
            "#N/D!",
            "#I/T",
            "#YOK",
            "#HIÁNYZIK",
            "#Δ/Υ",
            "#SAKNAS!",
            "#PUUTTUU!",
            "#ÜBERLAUF!",
            "#N/A N/A",
            "#N/A Requesting Data...",
            "Err:502",
            "Err :502",
            "Fehler:502",
            "Ошибка:504",
        ] {
            assert!(is_error(error), "{error}");
        }
    }

    #[test]
    fn hashtags_and_words_are_no_errors() {
        for value in [
            "#summer",
            "#sale",
            "#SALE",
            "#1",
            "#",
            "#NA_collection",
            "Err",
            "Err:5",
            "Error: 404",
            "Error: 5021",
            "Terror:502",
            "12:502",
            "#Ref",
            "#ref!",
        ] {
            assert!(!is_error(value), "{value}");
        }
    }

    #[test]
    fn loading_needs_its_dots() {
        for text in ["Loading...", "Loading…", "Wird geladen...", "Chargement…"] {
            assert!(is_loading(text), "{text}");
        }
        for text in ["Loading", "Loading dock...", "..."] {
            assert!(!is_loading(text), "{text}");
        }
        assert!(is_too_narrow("####") && !is_too_narrow("##") && !is_too_narrow("###1"));
    }
}
