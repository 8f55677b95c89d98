"""The words of the platform in Spanish; `english` has the same keys and says what each is for."""

VERDICTS = {
    "likely_used": "Probablemente usada",
    "no_evidence": "Sin indicios de uso",
    "cannot_tell": "No se puede saber",
}

REASONS = {
    "strong": "Se superan las dos pruebas de la auditoría: la reacción es rara entre fotos que no "
    "se usaron y al menos diez veces más frecuente entre fotos que sí se usaron.",
    "weak_p": "Demasiadas fotos que no se usaron provocan una reacción como esta.",
    "weak_ratio": "La reacción es rara, pero no está demostrado que sea diez veces más frecuente "
    "entre fotos que se usaron que entre fotos que no se usaron.",
    "no_matched_non_members": "Esta auditoría no tiene fotos no usadas de la misma colección que "
    "las usadas, así que podría reconocer la colección en lugar del uso.",
    "audit_cannot_tell": "Este modelo fue auditado, y la auditoría no pudo distinguir las fotos "
    "usadas de las no usadas más allá de lo que explican sus controles.",
    "out_of_support": "Fuera de soporte: la foto no se parece a las fotos con las que se probó "
    "esta auditoría, de modo que nada de lo medido vale para ella.",
    "too_few_people": "Esta auditoría conoce a muy pocas personas con las que comparar: hacen "
    "falta {needed}.",
    "no_gate": "Esta auditoría no fijó para qué fotos valen sus veredictos.",
    "other": "La auditoría no da ningún veredicto sobre esta foto.",
}

CONTROLS = {
    "pixels": "los píxeles solos, sin red",
    "random_network": "redes con pesos aleatorios",
    "other_network": "una red que no se entrenó con estas fotos",
    "shuffled_labels": "etiquetas al azar",
}

ERRORS = {
    "too_large": "Una foto supera los {limit} MB que se aceptan.",
    "request_too_large": "Las fotos superan juntas los {limit} MB que se aceptan.",
    "too_many_photos": "No se aceptan más de {limit} fotos a la vez.",
    "no_photo": "No se ha elegido ninguna foto. Elija una y pulse «Ejecutar MINT».",
    "not_a_form": "Las fotos se esperan en un formulario multipart/form-data, campo «photos».",
    "malformed": "El envío está incompleto o dañado. Envíelo otra vez.",
    "not_an_image": "Este archivo no es una foto que se pueda leer. Se leen JPEG, PNG y WebP.",
    "unsupported": "Este tipo de imagen no se acepta. Se aceptan JPEG, PNG y WebP.",
    "animated": "No se aceptan imágenes en movimiento. Envíe una sola foto.",
    "damaged": "Esta foto está dañada o incompleta y no se puede leer.",
    "unreadable": "Esta foto no se puede leer.",
    "too_many_pixels": "Esta foto tiene demasiados píxeles. Envíe una copia más pequeña.",
    "face_too_small": "La cara de esta foto es demasiado pequeña para examinarla.",
    "no_face": "No se ha encontrado ninguna cara en esta foto.",
    "too_many_faces": "Hay demasiadas caras. Envíe fotos de menos personas o recorte la cara por "
    "la que pregunta.",
    "no_face_chosen": "No hay ninguna cara elegida. Elija una y pulse «Ejecutar MINT».",
    "one_face_each": "Usted indica que todas las fotos muestran a una misma persona: elija como "
    "máximo una cara de cada foto.",
    "sealed": "Estas caras ya no se pueden examinar: la página es demasiado antigua o lo que envió "
    "se ha alterado. Elija sus fotos otra vez.",
    "too_many_requests": "Ha enviado muchas fotos en poco tiempo. Espere un poco.",
    "busy": "La plataforma está ocupada. Inténtelo de nuevo en unos segundos.",
    "timeout": "Esto ha tardado demasiado y se ha abandonado. Inténtelo de nuevo con menos fotos.",
    "starting": "La plataforma está arrancando. Inténtelo de nuevo en un momento.",
    "not_found": "No existe esta página.",
    "method_not_allowed": "Esta dirección no admite ese tipo de petición.",
    "bad_request": "No se entiende esta petición.",
    "internal": "Algo ha fallado por nuestra parte. Sus fotos no se han guardado.",
}

TEXT = {
    "title": "Prueba de inferencia de pertenencia",
    "tagline": "¿Se usó esta foto para entrenar esa red de reconocimiento facial?",
    "skip": "Saltar al contenido",
    "languages": "Idioma",
    "home_intro": "Suba fotos de una cara. Para cada red auditada verá qué fuerza tienen los "
    "indicios de que esta misma imagen se usó para entrenarla, y podrá llevarse un informe.",
    "privacy": "Sus fotos están en memoria mientras se examinan y después desaparecen. Nunca se "
    "guardan ni se consulta a nadie más.",
    "choose_title": "Sus fotos",
    "choose": "Elegir fotos",
    "choose_hint": "JPEG, PNG o WebP; hasta {photos} fotos de {megabytes} MB cada una.",
    "drop": "O suelte las fotos aquí.",
    "camera": "Hacer una foto",
    "person": "Todas estas fotos muestran a una misma persona",
    "person_hint": "Entonces se combinan además los indicios de todas las fotos. Las copias y los "
    "recortes de una foto cuentan una vez; si una foto muestra varias caras, usted elige una.",
    "run": "Ejecutar MINT",
    "asking": "Preguntando a cada red. Puede tardar hasta un minuto.",
    "running": "Buscando caras y preguntando a cada red. Puede tardar hasta un minuto.",
    "chosen": "Elegidas",
    "examples_title": "O pruebe con estas",
    "examples_intro": (
        "Personas de cuyas fotos se sabe si se usaron; nadie las eligió por lo que la auditoría "
        "dice de ellas. Una sola foto rara vez basta; varias de una persona dicen más."
    ),
    "example_member": "Estas fotos se usaron para entrenar la red.",
    "example_non_member": "Ninguna foto de esta persona se usó para entrenar la red.",
    "example_name": "Persona {name}",
    "example_run": "Ejecutar MINT con las fotos de la persona {name}",
    "example_truth": "La verdad sobre este ejemplo",
    "models_title": "Redes que se auditan aquí",
    "how_title": "Cómo leer un veredicto",
    "how": [
        "«Probablemente usada» se dice solo si una reacción como esta es rara entre fotos "
        "comparables que no se usaron (valor p corregido de 0,01 o menos), al menos diez veces más "
        "frecuente entre fotos que se usaron, y la auditoría pudo comparar con fotos no usadas de "
        "la misma colección.",
        "«Sin indicios de uso» no significa que la foto no se usara: a las auditorías se les "
        "escapan fotos usadas, a menudo la mayoría.",
        "«No se puede saber» significa que esta auditoría no puede decir nada de esta foto; al "
        "lado está el motivo.",
    ],
    "results_title": "Resultados",
    "finished": "Terminado. Fotos: {photos}. Caras: {faces}. Redes: {models}.",
    "download_html": "Descargar el informe (para leer e imprimir)",
    "download_json": "Descargar los datos (JSON)",
    "download_hint": "El informe contiene los hashes de sus fotos, nunca las fotos. No existe en "
    "ningún otro sitio: lo que no descargue desaparece al cerrar esta página.",
    "again": "Examinar otras fotos",
    "together_title": "Todas las fotos juntas",
    "together_intro": "Se supone que las fotos muestran a una misma persona. Cuenta la cara "
    "examinada de cada una de las {photos} fotos; las copias y los recortes de una foto cuentan "
    "una vez. El veredicto trata de si se usó alguna foto de esta persona, sea una de estas u "
    "otra.",
    "photo": "Foto {number}",
    "face": "Cara {number} de {count}",
    "one_face": "La cara encontrada",
    "largest": "la mayor",
    "face_alt": "Cara {number}, tal como la ven las redes",
    "examined": "Caras examinadas, según su elección: {chosen} de las {found} encontradas en esta "
    "foto.",
    "choice_title": "¿Qué caras?",
    "choice_intro": "Se han encontrado varias caras. Elija aquellas por las que pregunta y pulse "
    "«Ejecutar MINT». La mayor de cada foto ya está elegida.",
    "choice_kept": "Mientras elige, aquí no se guarda nada. Las caras encontradas están en esta "
    "página, cifradas, y se pueden examinar durante {hours} horas, salvo que la plataforma se "
    "reinicie.",
    "rarer": "Este modelo reacciona a su foto como reacciona a menos de 1 de cada {n} fotos "
    "comparables que no se usaron.",
    "common": "Este modelo reacciona a su foto con la misma fuerza que a hasta {n} de cada 100 "
    "fotos comparables que no se usaron.",
    "rarer_together": "Este modelo reacciona a estas fotos juntas como reacciona a menos de 1 de "
    "cada {n} personas comparables cuyas fotos no se usaron.",
    "common_together": "Este modelo reacciona a estas fotos juntas con la misma fuerza que a "
    "hasta {n} de cada 100 personas comparables cuyas fotos no se usaron.",
    "counted": "Fotos distintas que cuentan: {photos}.",
    "found": "De 100 fotos que se usaron, esta auditoría detecta unas {n} con un veredicto así: "
    "que no haya indicios no significa que la foto no se usara.",
    "found_unknown": "No se sabe cuántas de 100 fotos que se usaron detectaría esta auditoría: que "
    "no haya indicios no significa que la foto no se usara.",
    "found_together": "De 100 personas de las que se muestran juntas {photos} fotos usadas, esta "
    "auditoría detecta unas {n} con un veredicto así: que no haya indicios no significa que no se "
    "usara ninguna foto de esta persona.",
    "found_unknown_together": "No se sabe a cuántas personas detectaría esta auditoría con tantas "
    "fotos: que no haya indicios no significa que no se usara ninguna foto de esta persona.",
    "no_figures": "Las cifras siguientes no permiten ningún veredicto.",
    "ratio": "Razón de verosimilitud",
    "ratio_value": "{value} (entre {low} y {high})",
    "ratio_hint": "cuántas veces más frecuente es esta puntuación entre fotos usadas que entre no "
    "usadas",
    "ratio_hint_together": "cuántas veces más frecuente es esta puntuación entre personas cuyas "
    "fotos se usaron que entre las demás",
    "p_value": "Valor p",
    "p_hint": "con qué frecuencia obtiene una foto no usada una puntuación tan alta, corregida por "
    "el número de redes; no es la probabilidad de que la foto no se usara",
    "p_hint_together": "con qué frecuencia obtienen personas cuyas fotos no se usaron una "
    "puntuación tan alta, corregida por el número de redes; no es la probabilidad de que no se "
    "usara ninguna foto",
    "score": "Puntuación",
    "score_hint": "lo que da el auditor, de 0 a 1; no es una probabilidad de que la foto se usara",
    "none": "no se da",
    "plot_used": "usadas",
    "plot_unused": "no usadas",
    "plot_you": "esta foto",
    "plot": "La puntuación {score} es más alta que la de {others} de cada 100 fotos de esta "
    "auditoría que no se usaron, y que la de {members} de cada 100 que sí.",
    "controls": "Controles de esta auditoría",
    "controls_passed": "De 100 fotos usadas detecta al menos {points} más (límite inferior al "
    "95 %) que el control más cercano, que no puede saber qué se usó: {against}.",
    "controls_failed": "No los supera, y dice, en inglés:",
    "card": "Sobre este modelo y su auditoría",
    "layers": "Capas leídas",
    "training": "Lo que se sabe de su entrenamiento",
    "matched": "Fotos no usadas de la misma colección",
    "yes": "sí",
    "no": "no",
    "finds": "Fotos usadas que se detectan",
    "power_value": "unas {found} de cada 100, mientras que {fpr} de cada 100 no usadas se toman "
    "por usadas",
    "power_unknown": "no se sabe",
    "headline": "Lo que dice la auditoría",
    "model_hash": "SHA-256 del modelo",
    "auditor_hash": "SHA-256 del auditor",
    "photo_hash": "SHA-256 de la foto",
    "error_title": "No ha sido posible",
    "back": "Volver al inicio",
    "report_title": "Informe MINT",
    "report_date": "Fecha (UTC)",
    "report_scope": "Qué dice este informe",
    "report_statements": [
        "Dice cómo reaccionan unas redes auditadas a los archivos de imagen cuyos hashes SHA-256 "
        "se indican, y qué valen esas reacciones como indicio de que esos mismos archivos se "
        "usaron para el entrenamiento. No dice nada de quién aparece en ellas ni de otras imágenes "
        "de las mismas personas, salvo en «Todas las fotos juntas»: ahí se pregunta si se usó "
        "alguna foto de la persona, sea una de estas u otra.",
        "«Probablemente usada»: el valor p corregido es de 0,01 o menos, el límite inferior de la "
        "razón de verosimilitud es de 10 o más, y la auditoría comparó con fotos no usadas de la "
        "misma colección. Hasta 1 de cada 100 fotos comparables que no se usaron puede obtener un "
        "valor p así. Cada cara se juzga por separado: quien pregunta por muchas debe contar con "
        "alguno por azar.",
        "«Sin indicios de uso» no es un indicio de que una imagen no se usara: al lado figura "
        "cuántas de 100 imágenes usadas detecta la auditoría.",
        "«No se puede saber»: no se afirma nada, y nada se sigue de las cifras.",
        "Un valor p no es la probabilidad de que la imagen no se usara. Una razón de verosimilitud "
        "no es la probabilidad, a favor o en contra, de que se usara: esa depende también de todo "
        "lo demás que se sepa del caso, que este informe no juzga.",
        "Este informe lo ha hecho un programa, no está firmado y no prueba nada sobre el origen de "
        "los archivos de imagen.",
    ],
    "report_findings": "Hallazgos",
    "report_models": "Modelos y auditorías",
    "report_box": "Lados izquierdo, superior, derecho e inferior de la cara, en píxeles de la foto "
    "bien orientada",
    "report_verify": "Cómo comprobarlo",
    "report_verify_photo": "El archivo de imagen debe tener el hash de este informe:",
    "report_verify_score": "La misma auditoría, ejecutada sobre una carpeta con este archivo, debe "
    "dar la misma puntuación de la cara que lee: si hay varias, una grande cerca del centro. MODEL "
    "y AUDITOR son el modelo y el auditor exportado con los hashes de este informe:",
}
